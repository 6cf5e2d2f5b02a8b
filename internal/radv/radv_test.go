package radv

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var peer = netip.MustParseAddr("fe80::2%eth1")

// wire is an interface that comes and goes, with what we have sent on it.
type wire struct {
	mu       sync.Mutex
	up       *end // nil: there is no interface
	adverts  []time.Duration
	solicits int
	began    time.Time
}

// end is a link on it.
type end struct {
	*wire
	in     chan heard
	closed chan struct{}
	once   sync.Once
}

func (w *wire) open(string) (link, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.up == nil {
		return nil, errNone
	}
	w.up = newEnd(w)
	return w.up, nil
}

func newEnd(w *wire) *end { return &end{wire: w, in: make(chan heard), closed: make(chan struct{})} }

func (e *end) receive() (netip.Addr, bool, error) {
	select {
	case h := <-e.in:
		return h.from, h.advertisement, h.err
	case <-e.closed:
		return netip.Addr{}, false, errors.New("closed")
	}
}

func (e *end) advertise() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.up != e {
		return errNone
	}
	e.adverts = append(e.adverts, time.Since(e.began))
	return nil
}

func (e *end) solicit() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.solicits++
	return nil
}

func (e *end) close() { e.once.Do(func() { close(e.closed) }) }

// gone takes the interface away, or brings it back.
func (w *wire) gone(gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.up = nil; !gone {
		w.up = newEnd(w)
	}
}

// hear has the present link receive something.
func (w *wire) hear(advertisement bool) {
	w.mu.Lock()
	e := w.up
	w.mu.Unlock()
	e.in <- heard{from: peer, advertisement: advertisement}
	synctest.Wait()
}

// sent are the advertisements since the last call.
func (w *wire) sent() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.adverts
	w.adverts = nil
	return all
}

// onWire runs a test with our side watching.
func onWire(t *testing.T, up bool, test func(w *wire, found *[]netip.Addr, log *strings.Builder)) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{began: time.Now()}
		w.gone(!up)
		log, found := &strings.Builder{}, &[]netip.Addr{}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() {
			watch(ctx, "eth1", slog.New(slog.NewTextHandler(log, nil)), func(a netip.Addr) { *found = append(*found, a) }, w.open)
		})
		synctest.Wait()
		test(w, found, log)
		cancel()
		watching.Wait()
	})
}

func pass(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

// TestAdvertise: at once, and then within the interval.
func TestAdvertise(t *testing.T) {
	onWire(t, true, func(w *wire, _ *[]netip.Addr, _ *strings.Builder) {
		pass(10 * time.Minute)
		all := w.sent()
		if len(all) == 0 || all[0] != 0 || w.solicits != 1 {
			t.Fatalf("%v, %d solicitations", all, w.solicits)
		}
		for i := range all[1:] {
			if d := all[i+1] - all[i]; d < minInterval || d > maxInterval {
				t.Errorf("%v between two", d)
			}
		}
	})
}

// TestSolicited: who asks is answered soon, but never two within apart.
func TestSolicited(t *testing.T) {
	onWire(t, true, func(w *wire, _ *[]netip.Addr, _ *strings.Builder) {
		began := time.Since(w.began)
		for range 100 {
			w.hear(false)
		}
		pass(apart + time.Millisecond)
		if all := w.sent(); len(all) != 2 || all[1]-began != apart {
			t.Errorf("a flood right after the first one: %v", all)
		}
		pass(minInterval - 10*time.Millisecond) // no other is due before
		asked := time.Since(w.began)
		w.hear(false)
		pass(maxAnswer)
		if all := w.sent(); len(all) != 1 || all[0] < asked || all[0] > asked+maxAnswer {
			t.Errorf("asked at %v, answered at %v", asked, all)
		}
	})
}

// TestFound: each advertisement is told of, but not those of a flood.
func TestFound(t *testing.T) {
	onWire(t, true, func(w *wire, found *[]netip.Addr, _ *strings.Builder) {
		for range 50 {
			w.hear(true)
		}
		pass(most)
		w.hear(true)
		if !slices.Equal(*found, []netip.Addr{peer, peer}) {
			t.Errorf("found %v", *found)
		}
	})
}

// TestInterfaceComesAndGoes: it is waited for, and said once.
func TestInterfaceComesAndGoes(t *testing.T) {
	onWire(t, false, func(w *wire, found *[]netip.Addr, log *strings.Builder) {
		pass(time.Minute)
		if n := strings.Count(log.String(), "interface-lost"); n != 1 || len(w.sent()) > 0 {
			t.Errorf("%d lines about an interface that is not there", n)
		}
		w.gone(false)
		pass(again)
		w.hear(true)
		if len(w.sent()) == 0 || len(*found) != 1 || !strings.Contains(log.String(), "interface-back") {
			t.Errorf("it is there, and found %v", *found)
		}
		w.gone(true)
		pass(maxInterval + again)
		w.gone(false)
		pass(again)
		w.hear(true)
		if len(w.sent()) == 0 || len(*found) != 2 || strings.Count(log.String(), "interface-lost") != 2 {
			t.Errorf("it is there again, and found %v", *found)
		}
	})
}
