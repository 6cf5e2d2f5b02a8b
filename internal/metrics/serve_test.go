package metrics

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/testkit/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client asks without keeping connections.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

// ask is the status of an address, or an error.
func ask(at netip.AddrPort, path string) (int, error) {
	r, err := client.Get(fmt.Sprintf("http://%v%s", at, path))
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, err
}

// free is a port that nobody listens on.
func free(t *testing.T, host string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func newTestServer(t *testing.T) *Server {
	s := NewServer(fixed(), quiet())
	s.retry = 10 * time.Millisecond
	t.Cleanup(s.Close)
	return s
}

func TestListen(t *testing.T) {
	s := newTestServer(t)
	six, port := free(t, "::1"), free(t, "").Port() // on all addresses
	four := netip.AddrPortFrom(netip.MustParseAddr("127.0.74.1"), port)
	wide := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	if err := s.Listen([]netip.AddrPort{four, six}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []netip.AddrPort{four, six} {
		if code, err := ask(at, "/metrics"); code != 200 || err != nil {
			t.Errorf("%v: %d, %v", at, code, err)
		}
		if code, err := ask(at, "/"); code != 404 || err != nil {
			t.Errorf("%v, another page: %d, %v", at, code, err)
		}
	}
	// A reload gives one up; the other one is not touched.
	if err := s.Listen([]netip.AddrPort{six}); err != nil {
		t.Fatal(err)
	}
	if code, err := ask(six, "/metrics"); code != 200 || err != nil {
		t.Errorf("what stays: %d, %v", code, err)
	}
	closed(t, four)
	// The same port, narrower: the old one is closed before.
	for _, at := range []netip.AddrPort{wide, four, wide} {
		if err := s.Listen([]netip.AddrPort{six, at}); err != nil {
			t.Error(err)
		}
		if code, err := ask(four, "/metrics"); code != 200 || err != nil {
			t.Errorf("on %v: %d, %v", at, code, err)
		}
	}
	s.Close()
	closed(t, six)
	if err := s.Listen([]netip.AddrPort{four}); err == nil {
		t.Error("it listens after the end")
	}
}

// closed waits until nobody answers.
func closed(t *testing.T, at netip.AddrPort) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if _, err := ask(at, "/metrics"); err != nil {
			return
		}
	}
	t.Errorf("%v is still open", at)
}

// TestPortIsTaken: whoever asks is told each time, and it is tried until it can
// be had.
func TestPortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.74.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	s := newTestServer(t)
	for range 2 {
		err := s.Listen([]netip.AddrPort{at})
		if want := fmt.Sprintf("cannot serve metrics on %v: address already in use (choose another port in metrics)", at); err == nil || err.Error() != want {
			t.Errorf("it says %v, want %s", err, want)
		}
	}
	l.Close()
	for end := time.Now().Add(10 * time.Second); ; {
		code, err := ask(at, "/metrics")
		if err == nil && code == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the port is free, and nobody answers: %v", err)
		}
	}
	if err := s.Listen([]netip.AddrPort{at}); err != nil {
		t.Errorf("it has it, and says %v", err)
	}
	err = s.Listen([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:9179")})
	if err == nil || !strings.Contains(err.Error(), "cannot assign requested address") {
		t.Errorf("with an address of somebody else: %v", err)
	}
}

// TestCrowd: connections that do nothing do not use up descriptors without end.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		at := netip.MustParseAddrPort("192.0.2.1:9179")
		l, err := n.Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		few := limit(l, 2)
		accepted := make(chan net.Conn, 4)
		go func() {
			for {
				c, err := few.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		for range 4 {
			c, err := n.Dial(t.Context(), netip.MustParseAddr("192.0.2.2"), at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		for range 2 {
			synctest.Wait()
			if len(accepted) != 2 {
				t.Fatalf("%d are in, want 2", len(accepted))
			}
			c := <-accepted
			c.Close()
			c.Close() // gives back one place
		}
		few.Close()
		synctest.Wait()
		for len(accepted) > 0 {
			(<-accepted).Close()
		}
	})
}
