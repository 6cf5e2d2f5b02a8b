package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
)

// watching is a client that reads events.
type watching struct {
	t      *testing.T
	stream *connect.ServerStreamForClient[pb.MonitorResponse]
	events []*pb.Event
}

func watch(p *place, q *pb.MonitorRequest) *watching {
	p.t.Helper()
	c := api.Dial(p.o.SocketPath)
	s, err := c.Monitor(p.t.Context(), connect.NewRequest(q))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		s.Close()
		c.Close()
	})
	w := &watching{t: p.t, stream: s}
	w.next(pb.EventKind_EVENT_KIND_STARTED)
	return w
}

func (w *watching) event() *pb.Event {
	w.t.Helper()
	for len(w.events) == 0 {
		if !w.stream.Receive() {
			w.t.Fatalf("the stream has ended: %v", w.stream.Err())
		}
		w.events = w.stream.Msg().Events
	}
	e := w.events[0]
	w.events = w.events[1:]
	return e
}

// next reads up to an event of a kind and returns it.
func (w *watching) next(k pb.EventKind) *pb.Event {
	w.t.Helper()
	for {
		if e := w.event(); e.Kind == k {
			return e
		}
	}
}

// TestMonitor: a client that reads sees what happens, with the causes; one that
// does not slows nobody down, and is told what it has missed.
func TestMonitor(t *testing.T) {
	const many = 30_000
	at, there := free(t, "127.0.73.1"), free(t, "127.0.73.2")
	a, b := newPlace(t), newPlace(t)
	var list bytes.Buffer
	for i := range many {
		fmt.Fprintf(&list, "10.%d.%d.%d/28\n", i>>12, i>>4&255, i&15<<4)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(b.o.ConfigPath), "many.txt"), list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	neighbor := func(name, host string, port uint16, local string) string {
		return fmt.Sprintf("neighbor %q {\n  address = %q\n  local_address = %q\n  port = %d\n  asn = 64500\n  idle_hold = \"1s\"\n  next_hop = \"192.0.2.77\"\n}\n", name, host, local, port)
	}
	const few = "originate \"few\" {\n  prefixes = [\"203.0.113.0/24\"]\n  set { med = %d }\n}\n"
	const crowd = "prefix_set \"many\" { prefixes_file = \"many.txt\" }\noriginate \"many\" {\n  prefixes = prefix_set.many\n}\n"
	theirs := func(more string) {
		b.configure(there, "192.0.2.2", neighbor("us", "127.0.73.1", at.Port(), "127.0.73.2")+more)
	}
	a.configure(at, "192.0.2.1", neighbor("them", "127.0.73.2", there.Port(), "127.0.73.1"))
	theirs("")
	a.run()
	all, stalled := watch(a, &pb.MonitorRequest{}), watch(a, &pb.MonitorRequest{BestOnly: true})
	one := watch(a, &pb.MonitorRequest{Prefix: "203.0.112.0/20", Longer: true})
	b.run()
	if e := all.next(pb.EventKind_EVENT_KIND_NEIGHBOR_UP); e.Neighbor != "them" || e.NeighborAddress != "127.0.73.2" {
		t.Errorf("up: %v", e)
	}
	reload := func(more string) {
		t.Helper()
		theirs(more)
		if _, err := b.reload(); err != nil {
			t.Fatal(err)
		}
	}
	wantRoute := func(w *watching, old, new, cause string) {
		t.Helper()
		e := w.next(pb.EventKind_EVENT_KIND_ROUTE)
		text := func(r *pb.Route) string {
			if r == nil {
				return ""
			}
			return fmt.Sprintf("%s med %d", r.Neighbor, r.Attributes.GetMed())
		}
		if e.Prefix != "203.0.113.0/24" || text(e.Old) != old || text(e.New) != new || e.Cause != cause {
			t.Errorf("it sees %v, want from %q to %q by %s", e, old, new, cause)
		}
	}
	reload(fmt.Sprintf(few, 1))
	wantRoute(all, "", "them med 1", "update from them")
	reload(fmt.Sprintf(few, 2))
	wantRoute(all, "them med 1", "them med 2", "update from them")
	reload("")
	wantRoute(all, "them med 2", "", "update from them")
	reload(fmt.Sprintf(few, 3) + crowd)
	// Somebody reads, as fast as he can, and somebody does not.
	for got := uint64(0); got < many+1; {
		if e := all.event(); e.Kind == pb.EventKind_EVENT_KIND_MISSED {
			got += e.Missed
		} else {
			got++
		}
	}
	c := api.Dial(a.o.SocketPath)
	defer c.Close()
	if _, err := c.DownNeighbor(t.Context(), connect.NewRequest(&pb.DownNeighborRequest{Neighbor: "them", Reason: "enough"})); err != nil {
		t.Fatal(err)
	}
	if down := all.next(pb.EventKind_EVENT_KIND_NEIGHBOR_DOWN); !strings.Contains(down.Reason, "enough") {
		t.Errorf("down: %v", down)
	}
	if e := all.next(pb.EventKind_EVENT_KIND_ROUTE); e.New != nil || e.Cause != "session down with them" {
		t.Errorf("then %v", e)
	}
	for _, want := range [][3]string{
		{"", "them med 1", "update from them"}, {"them med 1", "them med 2", "update from them"}, {"them med 2", "", "update from them"},
		{"", "them med 3", "update from them"}, {"them med 3", "", "session down with them"},
	} {
		wantRoute(one, want[0], want[1], want[2])
	}
	if e := stalled.next(pb.EventKind_EVENT_KIND_MISSED); e.Missed == 0 || e.Missed > 2*many {
		t.Errorf("the one that did not read: %v", e)
	}
}

// TestTooManyMonitors: the number is bounded, and who ends makes room.
func TestTooManyMonitors(t *testing.T) {
	p := newPlace(t)
	p.configure(free(t, "127.0.73.1"), "192.0.2.1", "")
	p.run()
	var all []*watching
	for range 16 {
		all = append(all, watch(p, &pb.MonitorRequest{}))
	}
	more := func() error {
		c := api.Dial(p.o.SocketPath)
		defer c.Close()
		s, err := c.Monitor(t.Context(), connect.NewRequest(&pb.MonitorRequest{}))
		if err != nil {
			return err
		}
		defer s.Close()
		s.Receive()
		return c.Error(s.Err())
	}
	if err := more(); err == nil || err.Error() != "as many monitors as there may be are running: end one of them" {
		t.Errorf("the 17th: %v", err)
	}
	all[3].stream.Close()
	for end := time.Now().Add(10 * time.Second); more() != nil; {
		if time.Now().After(end) {
			t.Fatal("one has ended, and there is no room")
		}
	}
}
