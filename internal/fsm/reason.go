package fsm

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"holdfast/internal/wire"
)

// Kind says how a session ended.
type Kind uint8

const (
	// NotStarted is the zero Reason: nothing has ended yet.
	NotStarted Kind = iota
	// NotificationSent: we ended it.
	NotificationSent
	// NotificationReceived: the neighbor ended it.
	NotificationReceived
	// ConnectionFailed: TCP could not connect, or lost the connection.
	ConnectionFailed
	// Stopped: we ended it and could not say so.
	Stopped
)

// Reason is why a session or an attempt at one ended. It is comparable.
type Reason struct {
	Kind          Kind
	Code, Subcode uint8  // of the NOTIFICATION, if there was one
	Data          string // of the NOTIFICATION, as on the wire
	// Hard: it came in a Hard Reset, which ends all routes (RFC 8538).
	Hard bool
	// Graceful: the neighbor may be restarting, and its routes are to be kept (RFC
	// 4724). False for all but the end of a session.
	Graceful bool
	// Text says what happened beyond that: the error of the socket, what was
	// wrong with a message, an administrator's words.
	Text string
}

// String is for people, on one line: "sent NOTIFICATION hold timer expired (4/0)".
func (r Reason) String() string {
	dir := "sent"
	switch r.Kind {
	case NotStarted:
		return "never up"
	case NotificationReceived:
		dir = "received"
	case ConnectionFailed, Stopped:
		return r.Text
	}
	if r.Hard {
		dir += " hard"
	}
	s := dir + " NOTIFICATION " + wire.NotificationText(r.Code, r.Subcode, []byte(r.Data))
	said := wire.Notification{Code: r.Code, Subcode: r.Subcode, Data: []byte(r.Data)}.ShutdownMessage()
	if r.Text != "" && r.Text != said {
		s += ": " + r.Text
	}
	return s
}

// Close tells a session to end with a NOTIFICATION, and what to do next. Without
// a Code it ends without one, as nothing would reach the neighbor.
type Close struct {
	Code, Subcode uint8
	Data          []byte
	// Text says why, for people.
	Text string
	// StayDown keeps the session down until it is started by an operator.
	// Without it, it is tried again after the usual delay or After, whichever
	// is longer.
	StayDown bool
	After    time.Duration
	// Restart: this router comes back, and who can is to keep its routes.
	Restart bool
	// Hard: no routes may be kept, on neither side. What the code says of that is
	// enough for most.
	Hard bool
}

func (c Close) reason() Reason {
	if c.Code == 0 {
		return Reason{Kind: Stopped, Text: c.Text}
	}
	return Reason{Kind: NotificationSent, Code: c.Code, Subcode: c.Subcode, Data: string(c.Data), Text: c.Text}
}

// Shutdown is the end of a session by an administrator, whose message goes to
// the neighbor as far as it fits (RFC 9003).
func Shutdown(message string) Close {
	return Close{Code: wire.CodeCease, Subcode: wire.CeaseShutdown, Data: shutdownData(message),
		Text: message, StayDown: true}
}

// Restarting is the end of a session by a router that comes back: for neighbors
// that do not keep its routes meanwhile, a shutdown.
func Restarting(message string) Close {
	c := Shutdown(message)
	c.Restart = true
	return c
}

// AdminReset is a Shutdown for a session that comes back by itself.
func AdminReset(message string) Close {
	return Close{Code: wire.CodeCease, Subcode: wire.CeaseReset, Data: shutdownData(message), Text: message}
}

// shutdownData cuts a message at the end of a character so that it fits.
func shutdownData(message string) []byte {
	message = strings.ToValidUTF8(message, "")
	for {
		b, err := wire.ShutdownData(message)
		if err == nil {
			return b
		}
		_, n := utf8.DecodeLastRuneInString(message)
		message = message[:len(message)-n]
	}
}

// received is the reason in a NOTIFICATION. Its message goes to logs and
// terminals, so that only printable characters pass (RFC 9003 section 6).
func received(n wire.Notification) Reason {
	hard := n.Code == wire.CodeCease && n.Subcode == wire.CeaseHardReset
	if hard && len(n.Data) >= 2 { // RFC 8538 section 3.1
		n = wire.Notification{Code: n.Data[0], Subcode: n.Data[1], Data: n.Data[2:]}
	}
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, n.ShutdownMessage())
	return Reason{Kind: NotificationReceived, Code: n.Code, Subcode: n.Subcode, Data: string(n.Data), Hard: hard, Text: text}
}
