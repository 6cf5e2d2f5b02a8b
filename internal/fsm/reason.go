// Package fsm is the BGP finite state machine of RFC 4271 section 8 for one
// neighbor: events go in, actions come out. It has no clock, no goroutine and
// no socket; package session owns those. The caller tells it the time.
package fsm

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind says how a session ended.
type Kind uint8

const (
	// NotStarted is the zero Reason: no session has ended yet.
	NotStarted Kind = iota
	// NotificationSent: we ended it.
	NotificationSent
	// NotificationReceived: the neighbor ended it.
	NotificationReceived
	// ConnectionFailed: TCP could not connect, or lost the connection.
	ConnectionFailed
	// Stopped: it ended without a NOTIFICATION, by our own decision.
	Stopped
)

// Reason is why a session or an attempt at one ended. It is comparable.
type Reason struct {
	Kind          Kind
	Code, Subcode uint8  // of the NOTIFICATION, if there was one
	Data          string // of the NOTIFICATION, as on the wire
	// Text says what happened: the error of the socket, what was wrong with
	// the message, the administrator's words (RFC 9003).
	Text string
}

// String is for people, in one line: "hold timer expired (NOTIFICATION 4/0 sent)".
func (r Reason) String() string {
	switch r.Kind {
	case NotificationSent, NotificationReceived:
		dir := "sent"
		if r.Kind == NotificationReceived {
			dir = "received"
		}
		name := CodeName(r.Code, r.Subcode)
		if r.Text != "" && r.Text != name {
			name += ": " + r.Text
		}
		return fmt.Sprintf("%s (NOTIFICATION %d/%d %s)", name, r.Code, r.Subcode, dir)
	case NotStarted:
		return "never established"
	}
	return r.Text
}

// Close tells a session to end with a NOTIFICATION, and what to do next.
type Close struct {
	Code, Subcode uint8
	Data          []byte
	// Text says why, for people.
	Text string
	// StayDown keeps the session down until it is enabled by an operator.
	// Without it, it is tried again after the usual delay or After, whichever
	// is longer.
	StayDown bool
	After    time.Duration
}

// NOTIFICATION codes (RFC 4271 section 4.5, RFC 7313, RFC 9687).
const (
	CodeHeader   = 1
	CodeOpen     = 2
	CodeUpdate   = 3
	CodeHold     = 4
	CodeFSM      = 5
	CodeCease    = 6
	CodeRefresh  = 7
	CodeSendHold = 8
)

// Subcodes of OPEN errors (RFC 4271 section 6.2, RFC 5492, RFC 9234).
const (
	OpenVersion      = 1
	OpenBadAS        = 2
	OpenBadID        = 3
	OpenParameter    = 4
	OpenHoldTime     = 6
	OpenCapability   = 7
	OpenRoleMismatch = 11
)

// Subcodes of Cease (RFC 4486, RFC 9003).
const (
	CeaseMaxPrefixes   = 1
	CeaseShutdown      = 2
	CeaseDeconfigured  = 3
	CeaseReset         = 4
	CeaseRejected      = 5
	CeaseConfigChanged = 6
	CeaseCollision     = 7
	CeaseResources     = 8
)

var codeNames = [...]string{
	CodeHeader: "message header error", CodeOpen: "OPEN message error", CodeUpdate: "UPDATE message error",
	CodeHold: "hold timer expired", CodeFSM: "finite state machine error", CodeCease: "cease",
	CodeRefresh: "ROUTE-REFRESH message error", CodeSendHold: "send hold timer expired",
}

var subcodeNames = map[[2]uint8]string{
	{1, 1}: "connection not synchronized", {1, 2}: "bad message length", {1, 3}: "bad message type",
	{2, 1}: "unsupported version number", {2, 2}: "bad peer AS", {2, 3}: "bad BGP identifier",
	{2, 4}: "unsupported optional parameter", {2, 6}: "unacceptable hold time",
	{2, 7}: "unsupported capability", {2, 11}: "role mismatch",
	{3, 1}: "malformed attribute list", {3, 2}: "unrecognized well-known attribute",
	{3, 3}: "missing well-known attribute", {3, 4}: "attribute flags error",
	{3, 5}: "attribute length error", {3, 6}: "invalid ORIGIN attribute",
	{3, 8}: "invalid NEXT_HOP attribute", {3, 9}: "optional attribute error",
	{3, 10}: "invalid network field", {3, 11}: "malformed AS_PATH",
	{5, 1}: "unexpected message in OpenSent", {5, 2}: "unexpected message in OpenConfirm",
	{5, 3}: "unexpected message in Established",
	{6, 1}: "maximum number of prefixes reached", {6, 2}: "administrative shutdown",
	{6, 3}: "neighbor deconfigured", {6, 4}: "administrative reset", {6, 5}: "connection rejected",
	{6, 6}: "other configuration change", {6, 7}: "connection collision resolution",
	{6, 8}: "out of resources", {6, 9}: "hard reset", {6, 10}: "BFD down",
	{7, 1}: "invalid message length",
}

// CodeName is the name of a NOTIFICATION's code and subcode.
func CodeName(code, subcode uint8) string {
	if s := subcodeNames[[2]uint8{code, subcode}]; s != "" {
		return s
	}
	if int(code) < len(codeNames) && codeNames[code] != "" {
		return codeNames[code]
	}
	return fmt.Sprintf("unknown error %d/%d", code, subcode)
}

// maxShutdown is how long a shutdown communication may be (RFC 9003 section 2).
const maxShutdown = 255

// shutdownData encodes a message for an administrative shutdown or reset: its
// length and its text (RFC 9003), cut at the end of a character.
func shutdownData(msg string) []byte {
	if msg == "" {
		return nil
	}
	msg = strings.ToValidUTF8(msg, "")
	for len(msg) > maxShutdown {
		_, n := utf8.DecodeLastRuneInString(msg)
		msg = msg[:len(msg)-n]
	}
	return append([]byte{byte(len(msg))}, msg...)
}

// shutdownText is the inverse. What a neighbor sends goes to logs and
// terminals, so that only printable characters pass (RFC 9003 section 6).
func shutdownText(data []byte) string {
	if len(data) == 0 || int(data[0]) > len(data)-1 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, string(data[1:1+int(data[0])]))
}
