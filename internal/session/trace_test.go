package session

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

func trace(t *testing.T, r *router) *Trace {
	t.Helper()
	tr, err := r.Trace(neighborID)
	if err != nil || tr == nil {
		t.Fatal(tr, err)
	}
	return tr
}

// all takes what there is.
func (t *Trace) all() (got []TraceEvent) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		some := t.waiting()
		if some == nil {
			some = t.Next(ctx)
		}
		if some == nil {
			return got
		}
		got = append(got, some...)
	}
}

// told is a trace without times and ports.
func told(all []TraceEvent) string {
	var b strings.Builder
	for _, e := range all {
		switch {
		case e.Note != "":
			fmt.Fprintln(&b, e.Note)
		case e.Sent:
			fmt.Fprintln(&b, "sent", e.Message[18])
		default:
			fmt.Fprintln(&b, "received", e.Message[18])
		}
	}
	return b.String()
}

// TestTrace follows a neighbor from before a session to the end of it.
// What different goroutines do at one moment has no order.
func TestTrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		set(t, a, settings(addrA))
		wait(500 * time.Millisecond) // the first attempt has failed
		tr := trace(t, a)
		b, theirs := newRouter(t, n, addrB), settings(addrB)
		theirs.Machine.Passive = true
		set(t, b, theirs)
		wait(10 * time.Second)
		a.Reset(neighborID, fsm.AdminReset("again"))
		synctest.Wait()
		const want = `the session is Active
connecting
the session is Connect
connected
the session is OpenSent
sent 1
received 1
the session is OpenConfirm
sent 4
received 4
the session is Established
sent 3
the session has ended: sent NOTIFICATION Cease: administrative reset (6/4), "again"
the session is Idle
`
		got := told(tr.all())
		sorted := func(s string) string { return strings.Join(slices.Sorted(strings.SplitSeq(s, "\n")), "\n") }
		if sorted(got) != sorted(want) || !strings.HasSuffix(got, "\"again\"\n") && !strings.HasSuffix(got, "Idle\n") {
			t.Errorf("the trace is\n%s", got)
		}
		tr.Close()
		if a.runners[neighborID].traces.Load() != nil {
			t.Error("it goes on")
		}
	})
}

// TestTraceMessages: all that is exchanged is in the trace, whole and in order,
// however the stream is cut.
func TestTraceMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		tr := trace(t, a)
		all, _ := stream(rand.New(rand.NewPCG(7, 7)), 3000)
		for rest := all; len(rest) > 0; {
			n := min(len(rest), 777)
			f.send(rest[:n])
			rest = rest[n:]
			synctest.Wait()
		}
		out, _ := a.routes.established()
		p := packetOf(update(1), update(2))
		out.Send(p, nil)
		out.Refresh(prefix.IPv4)
		synctest.Wait()
		var in []byte
		sent := map[byte]int{}
		for _, e := range tr.all() {
			switch {
			case e.Note != "":
			case e.Sent:
				sent[e.Message[18]]++
			default:
				in = append(in, e.Message...)
			}
			if e.Note == "" && e.Agreed == nil {
				t.Errorf("it is not said how to read %x", e.Message)
			}
		}
		if !bytes.Equal(in, all) {
			t.Errorf("traced are %d bytes of %d", len(in), len(all))
		}
		if sent[wire.MsgUpdate] != 2 || sent[wire.MsgRefresh] != 1 {
			t.Errorf("sent are %v", sent)
		}
		p.Release()
		tr.Close()
		f.Close()
	})
}

// TestTraceSlow: a reader that does not read loses messages and is told how
// many; the session does not notice.
func TestTraceSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		tr := trace(t, a)
		const sent = traceEvents + 1000
		for i := range sent {
			f.send(update(i))
		}
		synctest.Wait()
		if n := bytes.Count(a.routes.received(), bytes.Repeat([]byte{0xff}, 16)); n != sent {
			t.Errorf("%d messages arrived", n)
		}
		got := tr.all()
		f.send(update(0))
		synctest.Wait()
		next := tr.all()
		if n := len(got) + int(next[0].Lost) - 1; len(got) != traceEvents || n != sent || tr.bytes != 0 {
			t.Errorf("%d were told, %d lost", len(got), next[0].Lost)
		}
		tr.Close()
		f.Close()
	})
}

// TestTraceEnds: with the neighbor; and there are only so many.
func TestTraceEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		for range maxTraces {
			defer trace(t, a).Close()
		}
		if tr, err := a.Trace(neighborID); err != errTraces {
			t.Errorf("one more: %v, %v", tr, err)
		}
		if tr, err := a.Trace(99); tr != nil || err != nil {
			t.Errorf("of nobody: %v, %v", tr, err)
		}
		tr := (*a.runners[neighborID].traces.Load())[0]
		ended := make(chan string)
		go func() {
			var all []TraceEvent
			for some := tr.Next(t.Context()); some != nil; some = tr.Next(t.Context()) {
				all = append(all, some...)
			}
			ended <- told(all)
		}()
		a.Remove(neighborID)
		if got := <-ended; !strings.Contains(got, "sent 3") {
			t.Errorf("the end is\n%s", got)
		}
		f.Close()
	})
}

// TestTraceHeader: what is no message is shown as it came.
func TestTraceHeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		tr := trace(t, a)
		bad := append(update(1), bytes.Repeat([]byte{7}, 30)...)
		f.send(bad)
		synctest.Wait()
		all := tr.all()
		var messages [][]byte
		for _, e := range all {
			if e.Note == "" && !e.Sent {
				messages = append(messages, e.Message)
			}
		}
		if len(messages) != 2 || !bytes.Equal(bytes.Join(messages, nil), bad) {
			t.Errorf("traced %x", messages)
		}
		tr.Close()
		f.Close()
	})
}
