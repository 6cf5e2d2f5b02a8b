// Package kernel is the netlink driver: it puts routes into the Linux kernel
// and hears of links, addresses and the routes of others. Nothing else talks
// rtnetlink.
//
// It speaks the protocol itself. Libraries read each kind of news from a socket
// of its own, so that the order between a link and its routes is lost, and send
// one route at a time.
package kernel

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

// Options are what the driver needs to know.
type Options struct {
	// Protocol marks routes as ours (rtm_protocol); 0 means fib.DefaultProtocol.
	Protocol uint8
	Log      *slog.Logger
}

// Kernel is the routing of the network namespace that the process is in.
type Kernel struct {
	Options
	out     *socket // for Write
	seq     uint32  // of the last message of Write
	buf     []byte  // messages of Write
	answers []byte

	seed maphash.Seed

	mu sync.Mutex // for what follows; not held over I/O
	// own are fingerprints of the routes that Write has put in or Own has seen:
	// where one of ours is, a replacement takes its place. It may be wrong, as
	// the kernel drops some routes without a word; Write copes.
	own map[uint64]struct{}
	// foreign are fingerprints of the routes of others, as far as Watch knows,
	// and how many the kernel has that nothing but their ways tells apart.
	foreign map[uint64]uint16
}

// Open prepares for work. It needs no privileges yet; Write does.
func Open(o Options) (*Kernel, error) {
	if o.Protocol == 0 {
		o.Protocol = fib.DefaultProtocol
	}
	out, err := newSocket()
	if err != nil {
		return nil, err
	}
	out.buffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, answerBuffer)
	out.set(unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK)
	return &Kernel{
		Options: o, out: out, seed: maphash.MakeSeed(),
		own: map[uint64]struct{}{}, foreign: map[uint64]uint16{},
	}, nil
}

// Close ends what Open began. Nothing else may run.
func (k *Kernel) Close() { k.out.close() }

// key tells routes apart.
type key struct {
	table, metric uint32
	prefix        prefix.Prefix
}

// keyOf is the key as the kernel sees it.
func keyOf(r *fib.Route) key {
	return key{r.Table, metricOf(r), r.Prefix}
}

// metricOf is the metric that the kernel gives a route.
func metricOf(r *fib.Route) uint32 {
	if r.Metric == 0 && r.Prefix.Family == prefix.IPv6 {
		return 1024
	}
	return r.Metric
}

// fingerprint stands for a key in the sets of Kernel, which get large.
func (k *Kernel) fingerprint(r *fib.Route) uint64 {
	return maphash.Comparable(k.seed, keyOf(r))
}

// Own calls f for every route of ours in any table. While the tables change, a
// route may come twice.
func (k *Kernel) Own(f func(fib.Route)) error {
	own := map[uint64]struct{}{}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		err := k.routes(query{family: family, only: k.Protocol}, func(r *route) {
			if r.ordinary() {
				own[k.fingerprint(&r.Route)] = struct{}{}
				f(r.Route)
			}
		})
		if err != nil {
			return err
		}
	}
	k.mu.Lock()
	k.own = own
	k.mu.Unlock()
	return nil
}

// remember notes that a route of ours is in the kernel.
func (k *Kernel) remember(r *fib.Route) {
	p := k.fingerprint(r)
	k.mu.Lock()
	k.own[p] = struct{}{}
	k.mu.Unlock()
}

// query says which routes to read. 0 means any table, and no protocol.
type query struct {
	family    uint8 // unix.AF_…
	table     uint32
	only, not uint8 // protocols
}

// routes calls f for the kernel's routes that q asks for; f may not keep what it
// is given. An older kernel looks at no table.
func (k *Kernel) routes(q query, f func(*route)) error {
	req := request(unix.RTM_GETROUTE)
	req = append(req, q.family, 0, 0, 0, 0, q.only, 0, 0, 0, 0, 0, 0)
	if q.table != 0 {
		req = appendUint32(req, unix.RTA_TABLE, q.table)
	}
	var r route
	err := dump(finish(req), func(m message) error {
		p := m.protocol()
		if m.kind != unix.RTM_NEWROUTE || q.only != 0 && p != q.only || q.not != 0 && p == q.not {
			return nil
		}
		if r.parse(m.body) {
			r.shared(k.Protocol)
			f(&r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot read the kernel's routes: %w", err)
	}
	return nil
}

// familyOf is the kernel's number of a family.
func familyOf(f prefix.Family) uint8 {
	if f == prefix.IPv4 {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Neighbor is an entry of the kernel's ARP or neighbor discovery table.
type Neighbor struct {
	Addr  netip.Addr // without zone
	Link  int
	MAC   []byte // empty while it is not known
	State string // as ip-neighbour(8) calls it: "reachable", "stale", "failed" …
}

// Neighbors is who the kernel knows on its links.
func (k *Kernel) Neighbors() ([]Neighbor, error) {
	var all []Neighbor
	req := append(request(unix.RTM_GETNEIGH), make([]byte, unix.SizeofNdMsg)...)
	err := stable(func() error {
		all = all[:0]
		return dump(finish(req), func(m message) error {
			if n, ok := parseNeighbor(m.body); ok && m.kind == unix.RTM_NEWNEIGH {
				all = append(all, n)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the kernel's neighbors: %w", err)
	}
	return all, nil
}

// stable repeats a reading that a change has interrupted.
func stable(read func() error) error {
	var err error
	for range 20 {
		if err = read(); err != errInterrupted {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return err
}
