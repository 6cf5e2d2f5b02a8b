package export

import (
	"slices"
	"unsafe"

	"holdfast/internal/packet"
	"holdfast/internal/rib"
	"holdfast/internal/slab"
)

// numbering gives paths of a table numbers, for groups that send several paths
// for a prefix. A number is a path ID (RFC 7911) and a cell of the Adj-RIB-Out.
// It belongs to one path, whichever group sends it, until it has been withdrawn
// from everybody; then another path of any prefix may have it.
type numbering struct {
	paths  slab.Arena[numbered]
	heads  slab.Array[uint32] // by rib.ID: the first path of a prefix
	groups []*Group           // that send by these numbers
}

type numbered struct {
	id       rib.ID
	next     uint32 // path of the same prefix
	pathID   uint32 // as received
	neighbor packet.ID
}

// first is the first path of a prefix, 0 if it has none.
func (n *numbering) first(id rib.ID) uint32 { return n.heads.Get(uint32(id)) }

// next is the one behind another.
func (n *numbering) next(number uint32) uint32 { return n.paths.At(number).next }

// of is the number of a path, which gets one if it has none.
func (n *numbering) of(id rib.ID, neighbor packet.ID, pathID uint32) uint32 {
	for i := n.first(id); i != 0; i = n.next(i) {
		if p := n.paths.At(i); p.neighbor == neighbor && p.pathID == pathID {
			return i
		}
	}
	n.heads.Grow(uint32(id))
	head := n.heads.At(uint32(id))
	number, p := n.paths.Alloc()
	*p = numbered{id, *head, pathID, neighbor}
	*head = number
	return number
}

// tidy frees the numbers of a prefix that nobody has been sent.
func (n *numbering) tidy(id rib.ID) {
	if n.first(id) == 0 {
		return
	}
	for link := n.heads.At(uint32(id)); *link != 0; {
		number := *link
		p := n.paths.At(number)
		if slices.ContainsFunc(n.groups, func(g *Group) bool { return g.uses(number) }) {
			link = &p.next
			continue
		}
		*link = p.next
		n.paths.Free(number)
	}
}

// drop forgets a group.
func (n *numbering) drop(g *Group) {
	n.groups = slices.DeleteFunc(n.groups, func(x *Group) bool { return x == g })
}

func (n *numbering) bytes() uint64 {
	return n.paths.Bytes(unsafe.Sizeof(numbered{})) + n.heads.Bytes(4)
}
