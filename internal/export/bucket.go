package export

import (
	"cmp"
	"iter"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/rib"
	"holdfast/internal/slab"
	"holdfast/internal/wire"
)

// bucket sorts the cells of a group by what is to be sent about them: by block,
// so that one UPDATE carries all with the same attributes, and withdrawals by who
// does not get them. One round at a time: add, then read, then reset.
type bucket struct {
	table   *rib.Table
	numbers *numbering // of the group, if it has some
	items   []item
	cursor  chain
	heads   slab.Array[uint32] // by handle: last item + 1
	blocks  []attr.Handle      // with a head
	skip    byNeighbor         // withdrawals for all but the neighbor
	only    byNeighbor         // withdrawals for the neighbor alone
	alone   []alone            // announcements for one neighbor alone
}

type byNeighbor struct {
	heads []uint32    // by neighbor: last item + 1
	ids   []packet.ID // with a head
}

// bucket is the one that all groups share, for this one.
func (g *Group) bucket() *bucket {
	b := &g.env.bucket
	b.table, b.numbers = g.env.Table, g.numbers
	return b
}

// chain is the cells of one head.
type chain struct {
	b    *bucket
	head uint32
}

// from returns the chain of a head, of which there is one at a time.
func (b *bucket) from(head uint32) *chain {
	b.cursor = chain{b, head}
	return &b.cursor
}

// next takes a route off the chain.
func (c *chain) next() (r wire.Route, ok bool) {
	if c.head == 0 {
		return r, false
	}
	it := c.b.items[c.head-1]
	c.head = it.next
	id := rib.ID(it.cell)
	if n := c.b.numbers; n != nil {
		id, r.PathID = n.paths.At(it.cell).id, it.cell
	}
	r.Prefix = c.b.table.Prefix(id)
	return r, true
}

type item struct {
	cell uint32
	next uint32
}

func (b *bucket) announce(h attr.Handle, cell uint32) {
	b.heads.Grow(uint32(h))
	head := b.heads.At(uint32(h))
	if *head == 0 {
		b.blocks = append(b.blocks, h)
	}
	b.items = append(b.items, item{cell, *head})
	*head = uint32(len(b.items))
}

// alone is an announcement for one neighbor alone.
type alone struct {
	only  packet.ID
	block attr.Handle
	item  uint32 // in items, + 1
}

func (b *bucket) announceOnly(only packet.ID, h attr.Handle, cell uint32) {
	b.items = append(b.items, item{cell: cell})
	b.alone = append(b.alone, alone{only, h, uint32(len(b.items))})
}

// own has the announcements for one neighbor alone, sorted by neighbor and block.
func (b *bucket) own() iter.Seq2[alone, *chain] {
	return func(yield func(alone, *chain) bool) {
		slices.SortFunc(b.alone, func(x, y alone) int {
			return cmp.Or(cmp.Compare(x.only, y.only), cmp.Compare(x.block, y.block), cmp.Compare(x.item, y.item))
		})
		head := uint32(0)
		for i, a := range b.alone {
			b.items[a.item-1].next, head = head, a.item
			if i+1 < len(b.alone) && b.alone[i+1].only == a.only && b.alone[i+1].block == a.block {
				continue
			}
			if !yield(a, b.from(head)) {
				return
			}
			head = 0
		}
	}
}

func (b *bucket) withdraw(skip packet.ID, cell uint32)     { b.add(&b.skip, skip, cell) }
func (b *bucket) withdrawOnly(only packet.ID, cell uint32) { b.add(&b.only, only, cell) }

func (b *bucket) add(w *byNeighbor, n packet.ID, cell uint32) {
	for int(n) >= len(w.heads) {
		w.heads = append(w.heads, 0)
	}
	if w.heads[n] == 0 {
		w.ids = append(w.ids, n)
	}
	b.items = append(b.items, item{cell, w.heads[n]})
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
	b.items, b.blocks, b.alone = b.items[:0], b.blocks[:0], b.alone[:0]
}
