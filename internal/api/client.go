package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"connectrpc.com/connect"

	"holdfast/internal/api/holdfastv1/holdfastv1connect"
)

// Client speaks to a running router.
type Client struct {
	holdfastv1connect.HoldfastClient
	socket string
	http   *http.Transport
}

// Dial makes a client of the router on a socket. It connects when it is used, to
// the read-only one if it may not use that one.
func Dial(socket string) *Client {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "unix", socket)
			if errors.Is(err, fs.ErrPermission) {
				if c, err := d.DialContext(ctx, "unix", ReadOnlySocket(socket)); err == nil {
					return c, nil
				}
			}
			return c, err
		},
		DisableCompression: true,
	}
	return &Client{
		// Connect leaves out gzip, which costs more than a local socket.
		HoldfastClient: holdfastv1connect.NewHoldfastClient(&http.Client{Transport: t}, "http://holdfast",
			connect.WithAcceptCompression("gzip", nil, nil)),
		socket: socket, http: t,
	}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Error makes an error of a call one that a person can act on; it is an *Error
// with its kind unless ctx ended.
func (c *Client) Error(err error) error {
	var e *connect.Error
	if err == nil || errors.Is(err, context.Canceled) || !errors.As(err, &e) {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("cannot reach holdfast at %s: is it running? start it with \"holdfast run\", or name its --socket", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot reach holdfast at %s: permission denied; root and %s may, and %s may look",
			c.socket, GroupOf(c.socket), GroupOf(ReadOnlySocket(c.socket)))
	}
	for kind, code := range codes {
		if e.Code() == code {
			return &Error{kind, e.Message()}
		}
	}
	switch e.Code() {
	case connect.CodeUnimplemented:
		return errors.New("the running holdfast does not know this command: it has another version (see \"holdfast version\")")
	case connect.CodeCanceled:
		return errors.New("holdfast is stopping")
	case connect.CodeUnavailable:
		return fmt.Errorf("the connection to holdfast at %s was lost: %s", c.socket, e.Message())
	}
	return errors.New(e.Message())
}
