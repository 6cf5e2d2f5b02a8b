package export

import (
	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/slab"
)

// bucket sorts prefixes by what is to be sent about them: by block, so that
// one UPDATE carries all with the same attributes, and withdrawals by who does
// not get them. One round at a time: add, then read, then reset.
type bucket struct {
	table  *rib.Table
	items  []item
	cursor chain
	heads  slab.Array[uint32] // by handle: last item + 1
	blocks []attr.Handle      // with a head
	skip   byNeighbor         // withdrawals for all but the neighbor
	only   byNeighbor         // withdrawals for the neighbor alone
}

type byNeighbor struct {
	heads []uint32    // by neighbor: last item + 1
	ids   []packet.ID // with a head
}

// chain is the prefixes of one head.
type chain struct {
	b    *bucket
	head uint32
}

// from returns the chain of a head, of which there is one at a time.
func (b *bucket) from(head uint32) *chain {
	b.cursor = chain{b, head}
	return &b.cursor
}

// next takes a prefix off the chain.
func (c *chain) next() (prefix.Prefix, bool) {
	if c.head == 0 {
		return prefix.Prefix{}, false
	}
	it := c.b.items[c.head-1]
	c.head = it.next
	return c.b.table.Prefix(it.id), true
}

type item struct {
	id   rib.ID
	next uint32
}

func (b *bucket) announce(h attr.Handle, id rib.ID) {
	b.heads.Grow(uint32(h))
	head := b.heads.At(uint32(h))
	if *head == 0 {
		b.blocks = append(b.blocks, h)
	}
	b.items = append(b.items, item{id, *head})
	*head = uint32(len(b.items))
}

func (b *bucket) withdraw(skip packet.ID, id rib.ID)     { b.add(&b.skip, skip, id) }
func (b *bucket) withdrawOnly(only packet.ID, id rib.ID) { b.add(&b.only, only, id) }

func (b *bucket) add(w *byNeighbor, n packet.ID, id rib.ID) {
	for int(n) >= len(w.heads) {
		w.heads = append(w.heads, 0)
	}
	if w.heads[n] == 0 {
		w.ids = append(w.ids, n)
	}
	b.items = append(b.items, item{id, w.heads[n]})
	w.heads[n] = uint32(len(b.items))
}

func (w *byNeighbor) reset() {
	for _, n := range w.ids {
		w.heads[n] = 0
	}
	w.ids = w.ids[:0]
}

func (b *bucket) reset() {
	for _, h := range b.blocks {
		*b.heads.At(uint32(h)) = 0
	}
	b.skip.reset()
	b.only.reset()
	b.items, b.blocks = b.items[:0], b.blocks[:0]
}
