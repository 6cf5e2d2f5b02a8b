package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/events"
	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

// The kinds of news.
const (
	linkGroups  = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR
	routeGroups = unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE | 1<<(unix.RTNLGRP_NEXTHOP-1)
)

// most is how much news one event holds.
const most = 1 << 16

// Watch calls f with a snapshot, and then with news as they come, until ctx
// ends. It gives a new snapshot after it could not keep up, and where the kernel
// drops routes without a word. f may block for a while.
func (k *Kernel) Watch(ctx context.Context, f func(fib.Event)) error {
	return (&watch{kernel: k, emit: f}).run(ctx)
}

// WatchLinks is the same for links and addresses only: no routes can stand before
// them.
func WatchLinks(ctx context.Context, f func(fib.Event)) error { return (&watch{emit: f}).run(ctx) }

func (w *watch) run(ctx context.Context) error {
	w.buf, w.stale = make([]byte, readSize), true
	file, err := w.listen()
	if err != nil {
		return fmt.Errorf("cannot listen to the kernel's routing: %w", err)
	}
	defer file.Close()
	defer context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })()
	for ctx.Err() == nil {
		if w.stale {
			err = w.snapshot()
		} else {
			err = w.burst()
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("cannot listen to the kernel's routing: %w", err)
		}
	}
	return nil
}

// watch is a running Watch.
type watch struct {
	kernel *Kernel // nil: no news of routes
	socket *socket
	conn   syscall.RawConn
	buf    []byte
	emit   func(fib.Event)

	stale  bool         // a snapshot is due
	object bool         // that some routes cannot be read has been said
	admin  map[int]bool // links, and whether they are meant to be up

	// What has come and is not emitted yet.
	news   fib.Event
	routes []routeNews
	at     map[uint64]int // in routes, by fingerprint
}

type routeNews struct {
	fib.Foreign
	lost bool
}

// listen opens the socket that news come from.
func (w *watch) listen() (*os.File, error) {
	s, err := newSocket()
	if err != nil {
		return nil, err
	}
	groups := uint32(linkGroups)
	if k := w.kernel; k != nil {
		groups |= routeGroups
		s.buffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, newsBuffer)
		err = s.without(k.Protocol, k.out.pid) // before the first news
	}
	// A file can be read with a deadline.
	err = errors.Join(err, s.bind(groups), unix.SetNonblock(s.fd, true))
	if err != nil {
		s.close()
		return nil, err
	}
	file := os.NewFile(uintptr(s.fd), "netlink")
	w.socket = s
	if w.conn, err = file.SyscallConn(); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// read waits for a message; without wait it returns none where there is none.
func (w *watch) read(wait bool) (b []byte, err error) {
	pollErr := w.conn.Read(func(uintptr) bool {
		b, err = w.socket.receive(w.buf)
		if err == unix.EAGAIN {
			b, err = nil, nil
			return !wait
		}
		return true
	})
	return b, errors.Join(err, pollErr)
}

// burst waits for news, takes what else is there and emits it.
func (w *watch) burst() error {
	b, err := w.read(true)
	for n := 0; err == nil && len(b) > 0 && n < most && !w.stale; n++ {
		for m := range messages(b) {
			w.take(m)
		}
		b, err = w.read(false)
	}
	if errors.Is(err, unix.ENOBUFS) {
		w.stale, err = true, nil
	}
	w.flush()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// flush emits what has come.
func (w *watch) flush() {
	for i := range w.routes {
		if r := &w.routes[i]; r.lost {
			w.news.Lost = append(w.news.Lost, r.Foreign)
		} else {
			w.news.Routes = append(w.news.Routes, r.Foreign)
		}
	}
	e := w.news
	w.news, w.routes, w.at = fib.Event{}, nil, nil
	if e.Links != nil || e.Gone != nil || e.Addrs != nil || e.AddrGone != nil || e.Routes != nil || e.Lost != nil || e.OwnLost != nil || e.ObjectsLost != nil {
		w.emit(e)
	}
}

// take notes a piece of news.
func (w *watch) take(m message) {
	switch m.kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if l, admin, ok := parseLink(m.body); ok {
			w.link(l, admin, m.kind == unix.RTM_DELLINK)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if a, ok := parseAddress(m.body); ok {
			w.address(a, m.kind == unix.RTM_DELADDR)
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		w.route(m)
	case unix.RTM_DELNEXTHOP:
		if o, ours, _ := w.kernel.parseObject(m.body); ours && m.pid != w.kernel.out.pid {
			w.news.ObjectsLost = append(w.news.ObjectsLost, o.ID)
		}
	}
}

// link takes news of a link. That it has been down is told even if it is up
// again: IPv4 routes over it are gone, and the kernel has said nothing of them.
func (w *watch) link(l fib.Link, admin, gone bool) {
	same := func(have fib.Link) bool { return have.Index == l.Index }
	if slices.ContainsFunc(w.news.Links, same) || slices.Contains(w.news.Gone, l.Index) {
		w.flush()
	}
	if w.admin[l.Index] && (gone || !admin) {
		w.stale = true
	}
	if gone {
		delete(w.admin, l.Index)
		w.news.Gone = append(w.news.Gone, l.Index)
		return
	}
	w.admin[l.Index] = admin
	w.news.Links = append(w.news.Links, l)
}

// address takes news of an address. With one of IPv4, routes that prefer it as
// their source go without a word.
func (w *watch) address(a fib.Address, gone bool) {
	same := func(have fib.Address) bool { return have.Link == a.Link && have.Prefix == a.Prefix }
	if slices.ContainsFunc(w.news.Addrs, same) || slices.ContainsFunc(w.news.AddrGone, same) {
		w.flush()
	}
	if !gone {
		w.news.Addrs = append(w.news.Addrs, a)
		return
	}
	w.news.AddrGone = append(w.news.AddrGone, a)
	w.stale = w.stale || a.Prefix.Addr().Is4()
}

// route takes news of a route. Of ours it can only be what somebody else did.
func (w *watch) route(m message) {
	k := w.kernel
	if m.protocol() == k.Protocol && m.pid == k.out.pid {
		return // the filter lets none through
	}
	var r route
	if !r.parse(m.body) {
		return
	}
	if r.shared(k.Protocol); !w.counts(&r) {
		return
	}
	p := k.fingerprint(&r.Route)
	gone := m.kind == unix.RTM_DELROUTE
	k.mu.Lock()
	defer k.mu.Unlock()
	_, mine := k.own[p]
	if r.Protocol == k.Protocol {
		delete(k.own, p)
		w.news.OwnLost = append(w.news.OwnLost, r.Route)
		return
	}
	n, have := size(&r), k.foreign[p]
	if gone {
		if have > n {
			w.stale = true // others are left, and only a dump tells which of them counts
			return
		}
		delete(k.foreign, p)
		w.note(p, routeNews{r.Foreign, true})
		return
	}
	whole := r.Prefix.Family == prefix.IPv6 && n > 1 // IPv6 tells all ways of a route at once
	replaces := m.flags&unix.NLM_F_REPLACE != 0
	if replaces && have == 0 && mine {
		delete(k.own, p)
		w.news.OwnLost = append(w.news.OwnLost, r.Route)
	}
	switch {
	case whole:
		k.foreign[p] = n
	case replaces:
		k.foreign[p] = max(have, n)
	default:
		k.foreign[p] = have + n
		if m.flags&unix.NLM_F_APPEND != 0 && have > 0 {
			return // it stands behind another that counts
		}
	}
	w.note(p, routeNews{r.Foreign, false})
}

// size is how many routes a route is to the kernel: those of IPv6 with several
// ways come and go one by one.
func size(r *route) uint16 {
	if r.Prefix.Family == prefix.IPv4 {
		return 1
	}
	return uint16(max(len(r.Hops), 1))
}

// note keeps the last word on a route.
func (w *watch) note(p uint64, n routeNews) {
	i, ok := w.at[p]
	if ok {
		w.routes[i] = n
		return
	}
	if w.at == nil {
		w.at = map[uint64]int{}
	}
	w.at[p] = len(w.routes)
	w.routes = append(w.routes, n)
}

// counts reports whether a route is one to tell of.
func (w *watch) counts(r *route) bool {
	if log := w.kernel.Log; r.object && !w.object && log != nil {
		w.object = true
		log.Warn("the kernel does not say where some routes go", "event", events.KernelRouteHidden, "route", r.Prefix)
	}
	return r.ordinary()
}

// snapshot reads all there is and emits it. What news tell of the time before
// is in it.
func (w *watch) snapshot() error {
	for {
		b, err := w.read(false)
		if errors.Is(err, unix.ENOBUFS) {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(b) == 0 {
			break
		}
	}
	e := fib.Event{Snapshot: true}
	w.admin = map[int]bool{}
	if err := w.interfaces(&e); err != nil {
		return fmt.Errorf("cannot read the kernel's links: %w", err)
	}
	w.stale = false
	if w.kernel != nil {
		if err := w.others(&e); err != nil {
			return err
		}
	}
	w.emit(e)
	return nil
}

// others reads the routes of others.
func (w *watch) others(e *fib.Event) error {
	k := w.kernel
	foreign := map[uint64]uint16{}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		err := k.routes(query{family: family, not: k.Protocol}, func(r *route) {
			if !w.counts(r) {
				return
			}
			p := k.fingerprint(&r.Route)
			if foreign[p] == 0 { // else it stands behind another that counts
				e.Routes = append(e.Routes, r.Foreign)
			}
			foreign[p] += size(r)
		})
		if err != nil {
			return err
		}
	}
	k.mu.Lock()
	k.foreign = foreign
	k.mu.Unlock()
	return nil
}

// interfaces reads links and addresses.
func (w *watch) interfaces(e *fib.Event) error {
	return stable(func() error {
		e.Links, e.Addrs = nil, nil
		clear(w.admin)
		req := append(request(unix.RTM_GETLINK), make([]byte, unix.SizeofIfInfomsg)...)
		err := dump(finish(req), func(m message) error {
			if l, admin, ok := parseLink(m.body); ok && m.kind == unix.RTM_NEWLINK {
				e.Links = append(e.Links, l)
				w.admin[l.Index] = admin
			}
			return nil
		})
		if err != nil {
			return err
		}
		req = append(request(unix.RTM_GETADDR), make([]byte, unix.SizeofIfAddrmsg)...)
		return dump(finish(req), func(m message) error {
			if a, ok := parseAddress(m.body); ok && m.kind == unix.RTM_NEWADDR {
				e.Addrs = append(e.Addrs, a)
			}
			return nil
		})
	})
}
