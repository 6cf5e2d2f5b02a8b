package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

const (
	// burst is how many messages are sent at once. Their answers fit into the
	// receive buffer of an unprivileged socket, even if all are errors.
	burst = 256
	// burstBytes is where a burst ends earlier.
	burstBytes = 64 << 10
	// rounds is how often a change is tried: as it should be, as it is when what
	// was thought to be there is not, and after a look at what is there.
	rounds = 3
)

// ErrTaken is the error of a route that somebody else has with the same table,
// prefix and metric. Theirs stays.
var ErrTaken = errors.New("somebody else has a route with this table, prefix and metric: choose another metric for ours, or remove theirs")

// step is how a change is tried next.
type step uint8

const (
	settled step = iota
	create       // put, unless anything is there
	replace      // put in the place of ours
	remove       // take ours away
	yield        // take ours away from beside theirs, then create
	leave        // the same, for a deletion
)

// try is a change that is being carried out.
type try struct {
	step   step
	answer unix.Errno
	reason string // the kernel's own words
}

// Write carries a batch out; errs[i] is nil where the kernel has it. It has one
// caller at a time, and a batch has a route (by table, prefix and metric) once.
//
// The kernel does not say whose route it replaces. So a route is first put in
// where nothing is, and replaced only where one of ours is known to be and none
// of somebody else's. A replacement leaves no moment without route: in IPv4 it
// is one exchange of pointers; in IPv6 the first of several hops stands alone
// until the others have followed.
func (k *Kernel) Write(batch []fib.Change, errs []error) {
	for len(batch) > 0 {
		n := min(len(batch), burst)
		k.write(batch[:n], errs[:n])
		batch, errs = batch[n:], errs[n:]
	}
}

func (k *Kernel) write(batch []fib.Change, errs []error) {
	var tries [burst]try
	t := tries[:len(batch)]
	k.decide(batch, errs, t)
	for round := range rounds {
		k.standAside(batch, errs, t)
		if err := k.exchange(batch, t); err != nil {
			for i := range t {
				if t[i].step != settled {
					errs[i] = fmt.Errorf("cannot write to the kernel: %w", err)
				}
			}
			return
		}
		if !k.settle(batch, errs, t, round == rounds-1) {
			return
		}
	}
}

// decide finds how each change is best tried.
func (k *Kernel) decide(batch []fib.Change, errs []error, t []try) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range batch {
		c := &batch[i]
		p := k.fingerprint(&c.Route)
		_, mine := k.own[p]
		theirs := k.foreign[p] > 0
		errs[i] = nil
		switch {
		case c.Delete && !mine && metricOf(&c.Route) == 0:
			// The kernel would take it for any metric.
		case c.Delete && !theirs:
			t[i].step = remove
		case c.Delete && mine:
			t[i].step = leave
		case c.Delete:
		default:
			if errs[i] = check(&c.Route); errs[i] != nil {
				continue
			}
			switch {
			case mine && theirs:
				t[i].step = yield
			case mine:
				t[i].step = replace
			default:
				t[i].step = create
			}
		}
	}
}

// standAside takes routes of ours away from beside those of others. IPv6 makes
// one of two routes through gateways; a removal by name would take both, so
// each way is removed by itself, and those of others do not match our protocol.
func (k *Kernel) standAside(batch []fib.Change, errs []error, t []try) {
	for i := range t {
		if t[i].step != yield && t[i].step != leave {
			continue
		}
		b := k.begin()
		r := &batch[i].Route
		if r.Prefix.Family == prefix.IPv4 {
			b = appendRoute(b, unix.RTM_DELROUTE, 0, k.next(), k.Protocol, r)
		} else {
			errs[i] = k.routes(query{family: unix.AF_INET6, table: r.Table}, func(at *route) {
				if keyOf(&at.Route) != keyOf(r) {
					return
				}
				if at.Protocol == k.Protocol && len(at.Hops) == 0 {
					b = appendRoute(b, unix.RTM_DELROUTE, 0, k.next(), k.Protocol, r)
				}
				for _, h := range at.Hops {
					b = appendLeg(b, k.next(), k.Protocol, r, h)
				}
			})
		}
		if errs[i] == nil {
			errs[i] = k.transact(b, func(uint32, message) {})
		}
		step := t[i].step
		t[i].step = settled
		if errs[i] == nil {
			k.forget(r)
			if step == yield {
				t[i].step = create
			}
		}
	}
}

// exchange sends what is not settled and notes the answers.
func (k *Kernel) exchange(batch []fib.Change, t []try) error {
	var which [burst]int
	n, first, b := 0, k.seq+1, k.begin()
	flush := func() error {
		err := k.transact(b, func(seq uint32, m message) {
			if i := seq - first; i < uint32(n) {
				t[which[i]].answer, t[which[i]].reason = m.errno(), m.reason()
			}
		})
		n, first, b = 0, k.seq+1, k.begin()
		return err
	}
	for i := range t {
		var kind, flags uint16 = unix.RTM_NEWROUTE, 0
		switch t[i].step {
		case settled:
			continue
		case create:
			flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
		case replace:
			flags = unix.NLM_F_REPLACE
		case remove:
			kind = unix.RTM_DELROUTE
		}
		t[i].answer, t[i].reason = 0, ""
		which[n] = i
		n++
		b = appendRoute(b, kind, flags, k.next(), k.Protocol, &batch[i].Route)
		if len(b) >= burstBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// settle reads the answers, and reports whether anything is to be tried again.
func (k *Kernel) settle(batch []fib.Change, errs []error, t []try, last bool) (again bool) {
	look := false
	k.mu.Lock()
	for i := range t {
		c, a := &batch[i], &t[i]
		if a.step == settled {
			continue
		}
		p := k.fingerprint(&c.Route)
		step := a.step
		a.step = settled
		switch {
		case a.answer == 0 && c.Delete, c.Delete && (a.answer == unix.ESRCH || a.answer == unix.ENOENT):
			delete(k.own, p)
		case a.answer == 0:
			k.own[p] = struct{}{}
		case step == replace && a.answer == unix.ENOENT && !last:
			delete(k.own, p)
			a.step, again = create, true
		case step == create && a.answer == unix.EEXIST && k.foreign[p] == 0 && !last:
			a.step, again, look = replace, true, true
		case step == create && a.answer == unix.EEXIST:
			errs[i] = ErrTaken
		default:
			errs[i] = refusal(a.answer, a.reason)
		}
	}
	k.mu.Unlock()
	if look {
		k.look(batch, errs, t)
	}
	return again
}

// look finds out whose routes stand where some of ours were to be created. What
// it learns of ours on the way spares the next look.
func (k *Kernel) look(batch []fib.Change, errs []error, t []try) {
	type place struct {
		family prefix.Family
		table  uint32
	}
	at := map[place]error{}
	theirs := map[key]bool{}
	for i := range t {
		p := place{batch[i].Prefix.Family, batch[i].Table}
		if _, done := at[p]; t[i].step != replace || done {
			continue
		}
		at[p] = k.routes(query{family: familyOf(p.family), table: p.table}, func(r *route) {
			switch {
			case r.special:
			case r.Protocol != k.Protocol:
				theirs[keyOf(&r.Route)] = true
			case r.Table == p.table:
				k.remember(&r.Route)
			}
		})
	}
	for i := range t {
		if t[i].step != replace {
			continue
		}
		c := &batch[i]
		switch err := at[place{c.Prefix.Family, c.Table}]; {
		case err != nil:
			t[i].step, errs[i] = settled, err
		case theirs[keyOf(&c.Route)]:
			t[i].step, errs[i] = settled, ErrTaken
		}
	}
}

// forget notes that no route of ours is in the kernel.
func (k *Kernel) forget(r *fib.Route) {
	p := k.fingerprint(r)
	k.mu.Lock()
	delete(k.own, p)
	k.mu.Unlock()
}

func (k *Kernel) begin() []byte {
	if k.buf == nil {
		k.buf = make([]byte, 0, burstBytes+16<<10)
	}
	return k.buf[:0]
}

func (k *Kernel) next() uint32 {
	k.seq++
	return k.seq
}

// transact sends messages, the last one with the sequence number k.seq, and
// calls f for each answer. The kernel answers errors, and the last message
// whatever it comes to; all of it is there when send returns.
func (k *Kernel) transact(b []byte, f func(seq uint32, m message)) error {
	last := -1
	for at := 0; at < len(b); at += int(native.Uint32(b[at:])) {
		last = at
	}
	if last < 0 {
		return nil
	}
	native.PutUint16(b[last+6:], native.Uint16(b[last+6:])|unix.NLM_F_ACK)
	if err := k.out.send(b); err != nil {
		return err
	}
	if k.answers == nil {
		k.answers = make([]byte, readSize)
	}
	for {
		got, err := k.out.receive(k.answers)
		if err != nil {
			return err
		}
		for m := range messages(got) {
			if m.kind != unix.NLMSG_ERROR {
				continue
			}
			f(m.seq, m)
			if m.seq == k.seq {
				return nil
			}
		}
	}
}

// advice is what to do about an error.
var advice = map[unix.Errno]string{
	unix.EPERM:        "holdfast needs CAP_NET_ADMIN to change kernel routes",
	unix.ENETUNREACH:  "the gateway is on no link",
	unix.EHOSTUNREACH: "the gateway is on no link",
	unix.ENETDOWN:     "the interface is down",
	unix.ENODEV:       "the interface is gone",
	unix.EINVAL:       "the gateway must be a neighbor on its link, and the preferred source an address of this router",
	unix.ENOENT:       "the route that was to be replaced keeps going away",
	unix.ENOMEM:       "the kernel has no memory for it",
	unix.EOPNOTSUPP:   "the kernel is built without this kind of route",
}

// refusal is the error of a route that the kernel does not take.
func refusal(errno unix.Errno, reason string) error {
	why := advice[errno]
	if reason != "" && why != "" {
		why = reason + ": " + why
	} else if why == "" {
		why = reason
	}
	if why == "" {
		return fmt.Errorf("the kernel refuses the route: %w", errno)
	}
	return fmt.Errorf("the kernel refuses the route: %w (%s)", errno, why)
}
