package wire

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Codes of NOTIFICATIONs (RFC 4271 section 4.5, RFC 7313, RFC 9687).
const (
	CodeHeader    = 1
	CodeOpen      = 2
	CodeUpdate    = 3
	CodeHoldTimer = 4
	CodeFSM       = 5
	CodeCease     = 6
	CodeRefresh   = 7
	CodeSendHold  = 8
)

const maxShutdownBytes = 255 // RFC 9003 section 2

// Subcodes of Cease (RFC 4486, RFC 8538, RFC 9384).
const (
	CeaseMaxPrefixes   = 1
	CeaseShutdown      = 2
	CeaseDeconfigured  = 3
	CeaseReset         = 4
	CeaseRejected      = 5
	CeaseConfigChange  = 6
	CeaseCollision     = 7
	CeaseOutOfResource = 8
	CeaseHardReset     = 9
	CeaseBFDDown       = 10
)

// Notification is a NOTIFICATION message.
type Notification struct {
	Code, Subcode uint8
	Data          []byte
}

// ParseNotification reads the body of a NOTIFICATION. Data aliases it.
func ParseNotification(body []byte) (Notification, *Error) {
	if len(body) < 2 {
		return Notification{}, &Error{Code: CodeHeader, Subcode: 2, Why: "NOTIFICATION is too short",
			Data: binary.BigEndian.AppendUint16(nil, uint16(len(body)+HeaderLen))}
	}
	return Notification{body[0], body[1], body[2:]}, nil
}

// AppendNotification writes a NOTIFICATION. Data that no message can hold is
// cut off.
func AppendNotification(dst []byte, code, subcode uint8, data []byte) []byte {
	at := len(dst)
	dst = AppendHeader(dst, MsgNotification)
	dst = append(dst, code, subcode)
	dst = append(dst, data[:min(len(data), MaxMsgLen-HeaderLen-2)]...)
	Finish(dst, at)
	return dst
}

// ShutdownData is the data of Cease with CeaseShutdown or CeaseReset that tells
// the other side's operators why (RFC 9003). "" is no message.
func ShutdownData(message string) ([]byte, error) {
	switch {
	case message == "":
		return nil, nil
	case len(message) > maxShutdownBytes:
		return nil, fmt.Errorf("a shutdown message has at most %d bytes, this one %d", maxShutdownBytes, len(message))
	case !utf8.ValidString(message):
		return nil, fmt.Errorf("a shutdown message must be UTF-8")
	}
	return append([]byte{byte(len(message))}, message...), nil
}

// HardResetData is the data of CeaseHardReset, which wraps another
// NOTIFICATION (RFC 8538 section 3).
func HardResetData(code, subcode uint8, data []byte) []byte {
	return append([]byte{code, subcode}, data...)
}

// ShutdownMessage is the message of an administrative shutdown or reset, "" if
// there is none or it is malformed. It may hold any characters.
func (n Notification) ShutdownMessage() string {
	if n.Code != CodeCease || n.Subcode != CeaseShutdown && n.Subcode != CeaseReset || len(n.Data) == 0 {
		return ""
	}
	size := int(n.Data[0])
	if size > len(n.Data)-1 || !utf8.Valid(n.Data[1:1+size]) {
		return ""
	}
	return string(n.Data[1 : 1+size])
}

// String is the NOTIFICATION for people, on one line.
func (n Notification) String() string { return NotificationText(n.Code, n.Subcode, n.Data) }

// NotificationName is what the code and the subcode of a NOTIFICATION mean,
// like "Cease: administrative shutdown".
func NotificationName(code, subcode uint8) string {
	if s := subcodeName(code, subcode); s != "" {
		return codeName(code) + ": " + s
	}
	return codeName(code)
}

// NotificationText describes a NOTIFICATION on one line, like `Cease:
// administrative shutdown (6/2), "maintenance"`.
func NotificationText(code, subcode uint8, data []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%d/%d)", NotificationName(code, subcode), code, subcode)
	n := Notification{code, subcode, data}
	switch message := n.ShutdownMessage(); {
	case len(data) == 0:
	case message != "":
		// RFC 9003 section 6: it must not play tricks with a terminal.
		b.WriteString(", ")
		b.WriteString(strconv.Quote(message))
	case code == CodeCease && subcode == CeaseHardReset && len(data) >= 2 && !(data[0] == CodeCease && data[1] == CeaseHardReset):
		b.WriteString(", ")
		b.WriteString(NotificationText(data[0], data[1], data[2:]))
	case code == CodeCease && (subcode == CeaseShutdown || subcode == CeaseReset) && data[0] == 0 && len(data) == 1:
	case code == CodeCease && subcode == CeaseMaxPrefixes && len(data) == 7: // RFC 4486 section 4
		fmt.Fprintf(&b, ", more than %d of %s", binary.BigEndian.Uint32(data[3:]), familyID(data))
	default:
		const shown = 32
		fmt.Fprintf(&b, ", data %x", data[:min(len(data), shown)])
		if len(data) > shown {
			fmt.Fprintf(&b, "… (%d bytes)", len(data))
		}
	}
	return b.String()
}

func codeName(code uint8) string {
	if s := codeNames[code]; s != "" {
		return s
	}
	return "unknown error"
}

func subcodeName(code, subcode uint8) string {
	if int(code) < len(subcodeNames) && int(subcode) < len(subcodeNames[code]) {
		if s := subcodeNames[code][subcode]; s != "" {
			return s
		}
	}
	if subcode == 0 {
		return ""
	}
	return "unknown subcode"
}

var codeNames = [256]string{
	CodeHeader: "message header error", CodeOpen: "OPEN message error", CodeUpdate: "UPDATE message error",
	CodeHoldTimer: "hold timer expired", CodeFSM: "finite state machine error", CodeCease: "Cease",
	CodeRefresh: "ROUTE-REFRESH message error", CodeSendHold: "send hold timer expired",
}

var subcodeNames = [...][]string{
	CodeHeader: {1: "connection not synchronized", "bad message length", "bad message type"},
	CodeOpen: {1: "unsupported version number", "bad AS number", "bad BGP identifier",
		"unsupported optional parameter", "authentication failure", "unacceptable hold time",
		"unsupported capability", 11: "role mismatch"},
	CodeUpdate: {1: "malformed attribute list", "unrecognized well-known attribute",
		"missing well-known attribute", "attribute flags error", "attribute length error",
		"invalid ORIGIN attribute", "AS routing loop", "invalid NEXT_HOP attribute",
		"optional attribute error", "invalid network field", "malformed AS_PATH"},
	CodeHoldTimer: {},
	CodeFSM: {1: "unexpected message in OpenSent", "unexpected message in OpenConfirm",
		"unexpected message in Established"}, // RFC 6608
	CodeCease: {1: "maximum number of prefixes reached", "administrative shutdown", "neighbor deconfigured",
		"administrative reset", "connection rejected", "other configuration change",
		"connection collision resolution", "out of resources", "hard reset", "BFD down"},
	CodeRefresh:  {1: "invalid message length"},
	CodeSendHold: {},
}
