package engine

import (
	"bytes"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// TestAnnounce: what is announced at run time wins over what the configuration
// originates, over reloads as well, and leaves it when it goes.
func TestAnnounce(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 1))
	p := prefix.MustParse("198.51.100.0/24")
	o := Origination{Prefix: p, Attrs: wire.Attrs{Has: wire.HasMED, MED: 7, ASPath: d.core.Prepended(3)}}
	if d.core.Withdraw(0, p) {
		t.Error("it was originated")
	}
	d.core.Announce(o)
	d.settle()
	if a := d.want(1, p.String(), true); wire.PathLen(a.ASPath) != 4 {
		t.Errorf("the path is %s", wire.PathText(a.ASPath))
	}
	d.edit(func(c *Config) { c.Originate = []Origination{{Prefix: p}} })
	d.core.Announce(o) // again: nothing happens
	d.settle()
	if a := d.want(1, p.String(), true); wire.PathLen(a.ASPath) != 4 {
		t.Errorf("originated as well, the path is %s", wire.PathText(a.ASPath))
	}
	sent := d.peers[1].updates
	o.Attrs.ASPath = nil
	o.Attrs.Communities = []byte{0xff, 0xff, 2, 0x9a}
	d.core.Announce(o)
	d.settle()
	if a := d.want(1, p.String(), true); wire.PathLen(a.ASPath) != 1 || !bytes.Equal(a.Communities, o.Attrs.Communities) {
		t.Errorf("changed, it is %+v", a)
	}
	if !d.core.Withdraw(0, p) {
		t.Error("it is not originated")
	}
	d.settle()
	if a := d.want(1, p.String(), true); len(a.Communities) > 0 {
		t.Errorf("withdrawn, it is %+v", a)
	}
	if n := d.peers[1].updates - sent; n != 2 {
		t.Errorf("two replacements took %d UPDATEs", n)
	}
	d.core.Announce(o)
	if n := d.core.tables[0][prefix.IPv4].originated(); n != 1 {
		t.Errorf("%d prefixes are originated", n)
	}
	d.edit(func(c *Config) { c.Originate = nil })
	d.settle()
	d.want(1, p.String(), true)
	d.core.Withdraw(0, p)
	d.settle()
	d.want(1, p.String(), false)
	d.empty()
}
