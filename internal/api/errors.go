package api

import "fmt"

// Kind is what a client must know about an error.
type Kind uint8

const (
	KindOther Kind = iota
	KindNotFound
	KindInvalid
	KindRefused
	KindRolledBack
)

// Error is an error that keeps its kind on the way to the client.
type Error struct {
	Kind Kind
	Text string
}

func (e *Error) Error() string { return e.Text }

// NotFound says that what was named does not exist.
func NotFound(format string, args ...any) error {
	return &Error{KindNotFound, fmt.Sprintf(format, args...)}
}

// Invalid says that the request, or the file it is about, is wrong.
func Invalid(format string, args ...any) error {
	return &Error{KindInvalid, fmt.Sprintf(format, args...)}
}

// Refused says that the router will not do what would do harm.
func Refused(format string, args ...any) error {
	return &Error{KindRefused, fmt.Sprintf(format, args...)}
}

// RolledBack says that a change was made and undone.
func RolledBack(format string, args ...any) error {
	return &Error{KindRolledBack, fmt.Sprintf(format, args...)}
}
