//go:build interop

package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/mrt"
	. "holdfast/testkit/netlab"
)

// dump is what one neighbor of a recorded table or stream of updates has
// announced in the end. It reads messages in the plainest way, with nothing of
// holdfast's codec.
type dump struct {
	from  mrt.Neighbor
	table bool
	paths map[netip.Prefix][]*Route // one, or several with add-path
	// updates is how many prefixes were announced and withdrawn on the way.
	updates int
	memo    map[string]*Route
}

// loadDump reads what the busiest neighbor of a file has sent, or the one that
// want names.
func loadDump(t *testing.T, file string, want netip.Addr) *dump {
	t.Helper()
	size := map[mrt.Neighbor]int{}
	var order []mrt.Neighbor
	count := func(n mrt.Neighbor) {
		if size[n]++; size[n] == 1 {
			order = append(order, n)
		}
	}
	table := false
	records(t, file, func(r *mrt.Reader, rec *mrt.Record) {
		switch rec.Kind {
		case mrt.RIB:
			table = true
			for _, e := range rec.Entries {
				count(r.Neighbors()[e.Neighbor])
			}
		case mrt.Message:
			if !table && rec.Message[18] == 2 && !rec.Local {
				count(mrt.Neighbor{Addr: rec.PeerAddr, AS: rec.PeerAS})
			}
		}
	})
	d := &dump{table: table, paths: map[netip.Prefix][]*Route{}, memo: map[string]*Route{}}
	most := 0
	for _, n := range order {
		if size[n] > most && (!want.IsValid() || n.Addr == want) {
			most, d.from = size[n], n
		}
	}
	if most == 0 {
		t.Fatalf("%s has no routes of %v", file, want)
	}
	records(t, file, func(r *mrt.Reader, rec *mrt.Record) {
		switch {
		case table && rec.Kind == mrt.RIB:
			for _, e := range rec.Entries {
				if r.Neighbors()[e.Neighbor] == d.from {
					a := d.attributes(e.Attrs, rec.AS4)
					d.paths[rec.Prefix.Netip()] = append(d.paths[rec.Prefix.Netip()], a)
					d.updates++
				}
			}
		case !table && rec.Kind == mrt.Message && rec.Message[18] == 2 && !rec.Local && rec.PeerAddr == d.from.Addr && rec.PeerAS == d.from.AS:
			if rec.AddPath {
				t.Fatalf("%s has updates with path ids: this test does not know them", file)
			}
			d.update(rec.Message[19:], rec.AS4)
		}
	})
	return d
}

func records(t *testing.T, file string, visit func(*mrt.Reader, *mrt.Record)) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := mrt.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		visit(r, rec)
	}
}

// update carries out an UPDATE (RFC 4271 section 4.3, RFC 4760).
func (d *dump) update(b []byte, as4 bool) {
	n := 2 + int(binary.BigEndian.Uint16(b))
	withdrawn, b := b[2:n], b[n:]
	n = 2 + int(binary.BigEndian.Uint16(b))
	attrs, announced := b[2:n], b[n:]
	var a *Route
	announce := func(nlri []byte, bits int) {
		for _, p := range prefixes(nlri, bits) {
			if a == nil {
				a = d.attributes(attrs, as4)
			}
			d.paths[p] = []*Route{a}
			d.updates++
		}
	}
	withdraw := func(nlri []byte, bits int) {
		for _, p := range prefixes(nlri, bits) {
			delete(d.paths, p)
			d.updates++
		}
	}
	bits := func(v []byte) int { return map[byte]int{1: 32, 2: 128}[v[1]] }
	withdraw(withdrawn, 32)
	eachAttribute(attrs, func(_, code byte, v []byte) {
		if code == 15 && v[2] == 1 { // MP_UNREACH_NLRI of unicast
			withdraw(v[3:], bits(v))
		}
	})
	announce(announced, 32)
	eachAttribute(attrs, func(_, code byte, v []byte) {
		if code == 14 && v[2] == 1 { // MP_REACH_NLRI of unicast
			announce(v[4+int(v[3])+1:], bits(v))
		}
	})
}

func prefixes(b []byte, bits int) (all []netip.Prefix) {
	for len(b) > 0 {
		a := make([]byte, bits/8)
		n := (int(b[0]) + 7) / 8
		copy(a, b[1:1+n])
		addr, _ := netip.AddrFromSlice(a)
		all = append(all, netip.PrefixFrom(addr, int(b[0])).Masked())
		b = b[1+n:]
	}
	return all
}

func eachAttribute(b []byte, visit func(flags, code byte, value []byte)) {
	for len(b) > 0 {
		n, head := int(b[2]), 3
		if b[0]&0x10 != 0 {
			n, head = int(binary.BigEndian.Uint16(b[2:])), 4
		}
		visit(b[0], b[1], b[head:head+n])
		b = b[head+n:]
	}
}

// attributes reads path attributes as far as they cross the border of an AS.
// Equal ones are the same Route.
func (d *dump) attributes(b []byte, as4 bool) *Route {
	key := fmt.Sprint(as4) + string(b)
	if r := d.memo[key]; r != nil {
		return r
	}
	r := &Route{}
	var path, path4 []string
	var aggregator4 string
	width := 2
	if as4 {
		width = 4
	}
	eachAttribute(b, func(flags, code byte, v []byte) {
		switch code {
		case 1:
			r.Origin = [...]string{"igp", "egp", "incomplete"}[v[0]]
		case 2:
			path = asPath(v, width)
		case 6:
			r.AtomicAggregate = true
		case 7:
			r.Aggregator = fmt.Sprintf("%d %s", asn(v[:width]), netip.AddrFrom4([4]byte(v[width:])))
		case 8:
			for ; len(v) > 0; v = v[4:] {
				r.Communities = append(r.Communities, fmt.Sprintf("%d:%d", asn(v[:2]), asn(v[2:4])))
			}
		case 16:
			for ; len(v) > 0; v = v[8:] {
				if v[0]&0x40 == 0 { // RFC 4360 section 6: the others stay in their AS
					r.Extended = append(r.Extended, ExtendedText([8]byte(v)))
				}
			}
		case 17:
			path4 = asPath(v, 4)
		case 18:
			aggregator4 = fmt.Sprintf("%d %s", asn(v[:4]), netip.AddrFrom4([4]byte(v[4:])))
		case 32:
			for ; len(v) > 0; v = v[12:] {
				r.Large = append(r.Large, fmt.Sprintf("%d:%d:%d", asn(v[:4]), asn(v[4:8]), asn(v[8:12])))
			}
		case 3, 4, 5, 9, 10, 14, 15, 26: // of this session or this AS alone
		default:
			if flags&0xc0 == 0xc0 {
				r.Unknown = append(r.Unknown, fmt.Sprintf("%d c0 %x", code, v))
			}
		}
	})
	if !as4 && (r.Aggregator == "" || strings.HasPrefix(r.Aggregator, "23456 ")) { // RFC 6793 section 4.2.3
		if aggregator4 != "" && r.Aggregator != "" {
			r.Aggregator = aggregator4
		}
		if len(path4) > 0 && len(path4) <= len(path) {
			path = append(slices.Clone(path[:len(path)-len(path4)]), path4...)
		}
	}
	r.ASPath = strings.Join(path, " ")
	d.memo[key] = r
	return r
}

// asPath is a list of AS numbers and sets: what counts as one each.
func asPath(b []byte, width int) (all []string) {
	for len(b) > 0 {
		var members []uint32
		kind, n := b[0], int(b[1])
		for b = b[2:]; n > 0; n-- {
			members = append(members, asn(b[:width]))
			b = b[width:]
		}
		if kind == 1 {
			slices.Sort(members)
		}
		var text []string
		for _, m := range members {
			text = append(text, fmt.Sprint(m))
		}
		switch kind {
		case 1:
			all = append(all, "{"+strings.Join(text, " ")+"}")
		case 2:
			all = append(all, text...)
		default:
			all = append(all, "confederation")
		}
	}
	return all
}

func asn(b []byte) uint32 {
	var n uint32
	for _, c := range b {
		n = n<<8 | uint32(c)
	}
	return n
}
