package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told finds a number in what the demo printed.
func told(t *testing.T, out, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("the demo does not say %q:\n%s", pattern, out)
	}
	n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// empty fails if the demo left files.
func empty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the demo left %v, %v", left, err)
	}
}

// The demo shows what it promises, ends by itself, and leaves nothing behind:
// TestMain looks for goroutines.
func TestOnce(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var b bytes.Buffer
	if err := Run(t.Context(), Options{Out: &b, Once: true}); err != nil {
		t.Fatalf("%v\n%s", err, &b)
	}
	out := b.String()
	empty(t, dir)

	a, both := told(t, out, `best through transit-a +(\S+)`), told(t, out, `everything at the customer after +\S+ m?s +(\S+) routes`)
	viaB := told(t, out, `best through transit-b +(\S+)`)
	if a < 20_000 || viaB < 5_000 || a+viaB+2 != both {
		t.Errorf("%d routes through transit-a and %d through transit-b, but %d at the customer", a, viaB, both)
	}
	if received := told(t, out, `both tables in the edge after +\S+ m?s +(\S+) routes`); received != 2*(29_597+3_857) {
		t.Errorf("the edge received %d routes", received)
	}
	// What the table has and the policy refuses: twelve IPv4 prefixes that are
	// too long, thirteen paths with private or reserved AS numbers, and IPv6.
	if refused := told(t, out, `(\S+) refused by policy`); 29_597+3_857+2-refused/2 != both {
		t.Errorf("%d routes were refused, and %d are at the customer", refused, both)
	}
	if moved := told(t, out, `last of (\S+) routes moved after`); moved != a {
		t.Errorf("%d routes moved of %d", moved, a)
	}
	if there := told(t, out, `(\S+) are through transit-b now`); there != a+viaB {
		t.Errorf("%d routes are through transit-b, not %d", there, a+viaB)
	}
	for _, when := range []string{"before", "meanwhile", "now"} {
		if n := told(t, out, `routes at the customer `+when+` +(\S+)`); n != both {
			t.Errorf("the customer has %d routes %s, not %d", n, when, both)
		}
	}
	for _, want := range []string{
		`(?s)> 1. transit-a .*: best.*2. transit-b .*loses to transit-a at step 5: shorter AS path \(3 < 4\).*x 3. customer .*rejected\n.*rule "not theirs" \(\S+edge.hcl:\d+\)`,
		`(?s)breaks: .*the edge noticed after +\S+ m?s +connection reset by peer\n.*> 1. transit-b .*: best\n`,
		`(?s)is back.*all routes as before after`,
		`transit-b still has the customer's 203.0.113.0/24`,
		`transit-a +127\.64\.\d+\.11 +64501 +Established`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the demo does not say %q", want)
		}
	}
	for line := range strings.Lines(out) {
		if len([]rune(line)) > 101 && !strings.Contains(line, dir) {
			t.Errorf("the line is too long for a terminal: %s", line)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// output is read while the demo writes it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

// wait waits until the demo has said something.
func (o *output) wait(t *testing.T, pattern string) []string {
	t.Helper()
	for re := regexp.MustCompile(pattern); ; {
		o.mu.Lock()
		m := re.FindStringSubmatch(o.text.String())
		o.mu.Unlock()
		if m != nil {
			return m
		}
		select {
		case <-o.more:
		case <-time.After(30 * time.Second):
			o.mu.Lock()
			defer o.mu.Unlock()
			t.Fatalf("the demo does not say %q:\n%s", pattern, &o.text)
		}
	}
}

// What the demo says to type in a second terminal does what it says, beside
// another demo; Ctrl-C ends both.
func TestYourTurn(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	var demos [2]output
	var all sync.WaitGroup
	defer func() {
		cancel()
		all.Wait()
		empty(t, dir)
	}()
	for i := range demos {
		demos[i].more = make(chan struct{}, 1)
		all.Go(func() {
			if err := Run(ctx, Options{Out: &demos[i], Command: "holdfast", Quote: strconv.Quote}); err != nil {
				t.Error(err)
			}
		})
	}
	demos[1].wait(t, "Below you see")
	o := &demos[0]
	o.wait(t, "Below you see")
	socket, file := o.wait(t, `alias edge="holdfast --socket \\"(\S+)\\""`)[1], o.wait(t, `sed -i 's/"\+0"/"\+50"/' "(\S+)"`)[1]
	all4 := o.wait(t, `everything at the customer after +\S+ m?s +(\S+) routes`)[1]

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(text, []byte(`"+0"`), []byte(`"+50"`), 1)
	if bytes.Equal(text, edited) {
		t.Fatal("there is nothing to edit")
	}
	if err := os.WriteFile(file, edited, 0o600); err != nil {
		t.Fatal(err)
	}
	c := api.Dial(socket)
	defer c.Close()
	m, err := c.Reload(t.Context(), connect.NewRequest(&pb.ReloadRequest{}))
	if err != nil {
		t.Fatal(c.Error(err))
	}
	if !m.Msg.Changed || len(m.Msg.ResetNeighbors) > 0 {
		t.Errorf("the reload did %v", m.Msg)
	}
	moved := o.wait(t, `best routes of the edge: 0 through transit-a, (\S+) through transit-b`)[1]
	if customer := told(t, all4, "(.*)"); told(t, moved, "(.*)") != customer-2 {
		t.Errorf("%s routes moved to transit-b of %d", moved, customer)
	}
}

// An end in the middle of the story is an end.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	o := &output{more: make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() { done <- Run(ctx, Options{Out: o}) }()
	o.wait(t, "The edge starts")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	empty(t, dir)
}

// Nobody reads the output any more.
func TestClosedOutput(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r, w := io.Pipe()
	r.Close()
	if err := Run(t.Context(), Options{Out: w, Once: true}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("without anybody who reads: %v", err)
	}
}

// The configurations are valid as they stand, without warnings, and laid out.
func TestConfigurations(t *testing.T) {
	files, err := filepath.Glob("config/*.hcl")
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if _, found := config.Load(f); len(found) > 0 {
			t.Errorf("%s: %v", f, found)
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, config.Format(text)) {
			t.Errorf("%s is not formatted", f)
		}
	}
}

// Ports and addresses that others use are left alone.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	first, err := newPlace()
	if err != nil {
		t.Fatal(err)
	}
	second, err := newPlace()
	if err != nil {
		t.Fatal(err)
	}
	if first.dir == second.dir || first.at(hostEdge, 0) == second.at(hostEdge, 0) {
		t.Errorf("two demos are in %v, %v and %v, %v", first.dir, first.network, second.dir, second.network)
	}
	if text, err := os.ReadFile(second.path("edge.hcl")); err != nil || !bytes.Contains(text, []byte(second.at(hostEdge, 0).String())) || bytes.Contains(text, []byte(first.at(hostEdge, 0).String())) {
		t.Errorf("the configuration does not follow: %v", err)
	}
	for _, p := range []*place{first, second} {
		if err := p.remove(); err != nil {
			t.Error(err)
		}
	}
	empty(t, dir)

	// Somebody listens on the edge's address.
	busy, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(first.at(hostEdge, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	third := &place{}
	if err := third.findNetwork(); err != nil {
		t.Fatal(err)
	}
	defer third.claim.Close()
	if third.at(hostEdge, 0) == first.at(hostEdge, 0) {
		t.Errorf("%v is in use", third.at(hostEdge, 0))
	}
}

// A long TMPDIR is not used: a socket below it would have no name.
func TestLongDirectory(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 80))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	dir, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	if len(dir) > 80 {
		t.Errorf("%s is too long", dir)
	}
}
