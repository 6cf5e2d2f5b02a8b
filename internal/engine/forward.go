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
	loose []uint32
	key   []byte
}

type forward struct {
	fib.Forward
	table, metric uint32
	refs          int
	key           string // "" for a free one
}

func newForwards() *forwards { return &forwards{list: make([]forward, 1), by: map[string]uint32{}} }

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

// sameWay reports whether two forwards send packets the same way, be it by
// different kernel routes.
func (s *forwards) sameWay(a, b uint32) bool {
	x, y := &s.list[a], &s.list[b]
	return a == b || a != 0 && b != 0 && x.Action == y.Action && x.Source == y.Source && slices.Equal(x.Hops, y.Hops)
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
		*f = forward{}
		s.free = append(s.free, n)
	}
}
