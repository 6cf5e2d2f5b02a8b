package replay

import (
	"net"
	"testing"
)

func TestWithPort(t *testing.T) {
	for to, want := range map[string]string{
		"": "", "192.0.2.1": "192.0.2.1:179", "2001:db8::1": "[2001:db8::1]:179", "192.0.2.1:1790": "192.0.2.1:1790",
		"[2001:db8::1]:1790": "[2001:db8::1]:1790", "edge1": "edge1:179", "edge1:1790": "edge1:1790",
	} {
		if got := withPort(to); got != want {
			t.Errorf("%q is %q, want %q", to, got, want)
		}
	}
}

// TestUnreachable: a message names the router once.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{To: l.Addr().String()}
	l.Close()
	want := "cannot reach the router at " + o.To + ": connection refused"
	if _, err := o.connect(t.Context()); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := fileSize("none.mrt"); err == nil || err.Error() != "cannot read the dump none.mrt: no such file or directory" {
		t.Errorf("got %v", err)
	}
}
