package engine

import (
	"encoding/binary"
	"slices"

	"holdfast/internal/fib"
)

// forwards numbers what kernel routes do, which many share. Number 0 is none.
type forwards struct {
	list []forward
	by   map[string]uint32
	free []uint32
	// loose ones were new when they were last asked for.
	loose   []uint32
	key     []byte
	objects *objects
}

type forward struct {
	fib.Forward
	table, metric uint32
	refs          int
	key           string // "" for a free one
}

func newForwards(o *objects) *forwards {
	return &forwards{list: make([]forward, 1), by: map[string]uint32{}, objects: o}
}

// number is that of a forward. It is valid until sweep unless it is retained.
func (s *forwards) number(f fib.Forward, table, metric uint32) uint32 {
	b := binary.BigEndian.AppendUint32(s.key[:0], table)
	b = binary.BigEndian.AppendUint32(b, metric)
	b = append(b, byte(f.Action))
	b = append(append(b, byte(f.Source.BitLen())), f.Source.AsSlice()...)
	for _, h := range f.Hops {
		b = append(append(b, byte(h.Gateway.BitLen())), h.Gateway.AsSlice()...)
		b = binary.BigEndian.AppendUint32(b, uint32(h.Link))
		b = binary.BigEndian.AppendUint16(b, max(h.Weight, 1))
		if h.OnLink {
			b = append(b, 1)
		}
	}
	if f.Object != 0 {
		b = binary.BigEndian.AppendUint32(append(b, 'o'), f.Object)
	}
	s.key = b
	if n := s.by[string(b)]; n != 0 {
		return n
	}
	var n uint32
	if i := len(s.free); i > 0 {
		n, s.free = s.free[i-1], s.free[:i-1]
	} else {
		n = uint32(len(s.list))
		s.list = append(s.list, forward{})
	}
	f.Hops = slices.Clone(f.Hops)
	s.list[n] = forward{Forward: f, table: table, metric: metric, key: string(b)}
	s.by[string(b)] = n
	s.loose = append(s.loose, n)
	s.objects.hold(f.Object)
	return n
}

// sweep frees those that nobody has retained.
func (s *forwards) sweep() {
	for _, n := range s.loose {
		if f := &s.list[n]; f.refs == 0 && f.key != "" {
			s.retain(n)
			s.release(n)
		}
	}
	s.loose = s.loose[:0]
}

// samePlace reports whether two forwards are of one kernel route.
func (s *forwards) samePlace(a, b uint32) bool {
	return s.list[a].table == s.list[b].table && s.list[a].metric == s.list[b].metric
}

// sameWay reports whether a forward that the kernel has sends packets the way of
// one without object, be it by a different kernel route. sure is false while it
// has yet to answer what the object does.
func (s *forwards) sameWay(want, have uint32) (same, sure bool) {
	x, y := &s.list[want], &s.list[have]
	if want == have || want == 0 || have == 0 || x.Action != y.Action || x.Source != y.Source {
		return want == have, true
	}
	hops := y.Hops
	if y.Object != 0 {
		var buf [fib.MaxHops]fib.Hop
		if hops, sure = s.objects.ways(y.Object, buf[:0]); !sure {
			return false, false
		}
	}
	return slices.Equal(x.Hops, hops), true
}

// gone reports whether the kernel does not have the group of a forward any more.
func (s *forwards) gone(n uint32) bool {
	g := s.objects.groups[s.list[n].Object]
	return g != nil && g.lost
}

func (s *forwards) retain(n uint32) {
	if n != 0 {
		s.list[n].refs++
	}
}

func (s *forwards) release(n uint32) {
	if n == 0 {
		return
	}
	f := &s.list[n]
	if f.refs--; f.refs == 0 {
		delete(s.by, f.key)
		s.objects.release(f.Object)
		*f = forward{}
		s.free = append(s.free, n)
	}
}
