package session

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"holdfast/internal/events"
	"holdfast/internal/fsm"
	"holdfast/internal/wire"
)

// Range is a set of addresses from which routers connect that have no neighbor
// yet. A connection from there is an arrival until its OPEN has come; then
// Welcome makes a neighbor, which goes on with it, or says why not.
type Range struct {
	Name      string
	Addresses []netip.Prefix
	Limit     int       // of arrivals at once; Welcome limits neighbors
	Transport Transport // Remote is that of each connection
}

// Welcome decides about a router that has connected from a range and is in an
// AS: it gives the Manager a neighbor with that address, or returns how to
// close the connection.
type Welcome func(g string, remote netip.Addr, asn uint32) *Close

// WithWelcome sets what decides about arrivals.
func WithWelcome(w Welcome) Option { return func(m *Manager) { m.welcome = w } }

const (
	// maxArrivals is how many there are at once in all ranges. One costs the
	// largest OPEN and a goroutine.
	maxArrivals = 512
	// openWait is how long an arrival may take to send its OPEN. Who connects
	// sends it at once.
	openWait = 10 * time.Second
)

// arrival is a connection from a range whose neighbor is not known.
type arrival struct {
	nc     net.Conn
	remote netip.Addr
	of     Range
	spoken bool // the OPEN has come, and it was not refused: not to be given up for another one
}

// SetRanges makes these the ranges. Neighbors stay; who removes a range removes
// its neighbors. On an error about a password the ranges are there nevertheless.
func (m *Manager) SetRanges(ranges []Range) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	old := m.ranges
	m.ranges = slices.Clone(ranges)
	was, is := keys(old), keys(ranges)
	var errs []error
	for at, l := range m.listeners {
		for p := range was {
			if _, stays := is[p]; !stays {
				errs = append(errs, m.rangePassword(at, l, p, ""))
			}
		}
		for p, password := range is {
			if was[p] != password {
				errs = append(errs, m.rangePassword(at, l, p, password))
			}
		}
	}
	return errors.Join(append(errs, m.limitSegments())...)
}

// keys are the passwords of ranges. Each prefix is one range's only.
func keys(ranges []Range) map[netip.Prefix]string {
	all := map[netip.Prefix]string{}
	for _, g := range ranges {
		for _, p := range g.Addresses {
			if g.Transport.Password != "" {
				all[p] = g.Transport.Password
			}
		}
	}
	return all
}

func (m *Manager) rangePassword(at netip.AddrPort, l net.Listener, p netip.Prefix, password string) error {
	if err := m.net.Password(l, p, password); err != nil {
		return fmt.Errorf("neighbors from %v, listener %v: %w", p, at, err)
	}
	return nil
}

// rangePasswords gives a new listener those of all ranges.
func (m *Manager) rangePasswords(at netip.AddrPort, l net.Listener) error {
	var errs []error
	for p, password := range keys(m.ranges) {
		errs = append(errs, m.rangePassword(at, l, p, password))
	}
	return errors.Join(errs...)
}

// rangeOf is the most specific range that has an address.
func (m *Manager) rangeOf(a netip.Addr) (found Range, ok bool) {
	bits := -1
	for _, g := range m.ranges {
		for _, p := range g.Addresses {
			if p.Bits() > bits && p.Contains(a) {
				found, bits = g, p.Bits()
			}
		}
	}
	return found, bits >= 0
}

// arrive begins with a connection from a range.
func (m *Manager) arrive(nc net.Conn, remote netip.Addr, of Range) {
	turnAway := func(why string) {
		reset(nc)
		if more, ok := m.turnedAway.allow(time.Now()); ok {
			m.log.Info("closed a connection from a neighbor range", "event", events.ArrivalRefused, "range", of.Name, "address", remote, "reason", why, "more", more)
		}
	}
	if !m.pace.allow(remote, time.Now()) {
		turnAway("it comes too often")
		return
	}
	of.Transport.Remote = remote
	if err := m.net.Accepted(nc, of.Transport); err != nil {
		turnAway(err.Error())
		return
	}
	a := &arrival{nc: nc, remote: remote, of: of}
	if !m.admit(a) {
		turnAway("too many others are connecting")
		return
	}
	m.wg.Go(func() {
		defer m.forget(a)
		m.hear(a)
	})
}

// admit takes an arrival in. There is one for each address: its router has
// given up the one before. Where there are too many, the one goes that has been
// silent for longest.
func (m *Manager) admit(a *arrival) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	inRange, same := 0, -1
	for i, o := range m.arrivals {
		if o.of.Name == a.of.Name {
			inRange++
		}
		if o.remote == a.remote {
			same = i
		}
	}
	i := same
	switch {
	case same >= 0:
	case inRange >= a.of.Limit:
		i = slices.IndexFunc(m.arrivals, func(o *arrival) bool { return !o.spoken && o.of.Name == a.of.Name })
	case len(m.arrivals) >= maxArrivals:
		i = slices.IndexFunc(m.arrivals, func(o *arrival) bool { return !o.spoken })
	default:
		m.arrivals = append(m.arrivals, a)
		return true
	}
	if i < 0 || m.arrivals[i].spoken {
		return false
	}
	reset(m.arrivals[i].nc)
	m.arrivals = append(slices.Delete(m.arrivals, i, i+1), a)
	return true
}

func (m *Manager) forget(a *arrival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.arrivals = slices.DeleteFunc(m.arrivals, func(o *arrival) bool { return o == a })
}

// hear reads the OPEN and finds the neighbor whose it is.
func (m *Manager) hear(a *arrival) {
	read, open, err := readOpen(a.nc)
	if err != nil {
		m.refuseArrival(a, Close{Code: err.Code, Subcode: err.Subcode, Data: err.Data, Text: err.Why})
		return
	}
	if read == nil {
		a.nc.Close() // gone, silent or given up
		return
	}
	m.mu.Lock()
	a.spoken = slices.Contains(m.arrivals, a)
	stays := a.spoken && !m.closed
	m.mu.Unlock()
	if !stays {
		a.nc.Close()
		return
	}
	if c := m.welcome(a.of.Name, a.remote, open.ASN); c != nil {
		m.refuseArrival(a, *c)
		return
	}
	m.mu.Lock()
	r := m.byAddr[a.remote]
	m.mu.Unlock()
	if r == nil { // it has been removed again
		a.nc.Close()
		return
	}
	if err := m.net.Accepted(a.nc, r.current().Transport); err != nil {
		a.nc.Close()
		m.log.Warn("closed a connection", "event", events.ConnectionRejected, "neighbor", r.current().Name, "error", err)
		return
	}
	a.nc.SetReadDeadline(time.Time{})
	r.offer(candidate{a.nc, read})
}

// readOpen reads what a connection begins with until an OPEN is whole. Without
// one, read and err are nil.
func readOpen(nc net.Conn) (read []byte, open wire.Open, err *wire.Error) {
	nc.SetReadDeadline(time.Now().Add(openWait))
	b := make([]byte, 0, wire.MaxMsgLen)
	for {
		n, readErr := nc.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) >= wire.HeaderLen {
			typ, length, err := wire.ParseHeader(b, wire.MaxMsgLen)
			switch {
			case err != nil:
				return nil, open, err
			case typ != wire.MsgOpen: // RFC 6608: unexpected in OpenSent
				return nil, open, &wire.Error{Code: wire.CodeFSM, Subcode: 1, Data: []byte{typ}, Why: "it does not begin with an OPEN"}
			case len(b) >= length:
				open, err = wire.ParseOpen(b[wire.HeaderLen:length])
				return b, open, err
			}
		}
		if readErr != nil {
			return nil, open, nil
		}
	}
}

// refuseArrival says why a connection does not become a session.
func (m *Manager) refuseArrival(a *arrival, c Close) {
	if more, ok := m.turnedAway.allow(time.Now()); ok {
		m.log.Info("refused a connection from a neighbor range", "event", events.ArrivalRefused, "range", a.of.Name, "address", a.remote,
			"reason", fsm.Reason{Kind: fsm.NotificationSent, Code: c.Code, Subcode: c.Subcode, Data: string(c.Data), Text: c.Text}.String(), "more", more)
	}
	m.mu.Lock()
	a.spoken = false
	m.mu.Unlock()
	a.nc.SetWriteDeadline(time.Now().Add(grace))
	if _, err := a.nc.Write(wire.AppendNotification(nil, c.Code, c.Subcode, c.Data)); err != nil {
		a.nc.Close()
		return
	}
	lingerClose(m.ctx, a.nc)
}

// reset closes a connection so that nothing of it is left in the kernel.
func reset(nc net.Conn) {
	if t, ok := nc.(interface{ SetLinger(int) error }); ok {
		t.SetLinger(0)
	}
	nc.Close()
}
