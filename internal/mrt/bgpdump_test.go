package mrt

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/wire"
)

// printer writes records as `bgpdump -m` does.
type printer struct {
	out    bytes.Buffer
	routes []wire.Route
	canon  []byte
	block  []byte
}

func (p *printer) record(r *Reader, rec *Record) {
	name := [...]string{TypeTableDump: "TABLE_DUMP", TypeTableDumpV2: "TABLE_DUMP2", TypeBGP4MP: "BGP4MP", TypeBGP4MPET: "BGP4MP_ET"}[rec.Type]
	head := fmt.Sprintf("%s|%d", name, rec.Seconds)
	if rec.Type == TypeBGP4MPET {
		head += fmt.Sprintf(".%06d", rec.Micros)
	}
	switch rec.Kind {
	case State:
		fmt.Fprintf(&p.out, "%s|STATE|%v|%d|%d|%d\n", head, addrText(rec.PeerAddr), rec.PeerAS, rec.OldState, rec.NewState)
	case RIB:
		if rec.AddPath {
			head = strings.Replace(head, "|", "_AP|", 1)
		}
		for _, e := range rec.Entries {
			n := r.Neighbors()[e.Neighbor]
			route := addrText(rec.Prefix)
			if rec.AddPath {
				route += fmt.Sprintf("|%d", e.PathID)
			}
			u := e.Update(rec.Prefix.Family, p.block)
			fmt.Fprintf(&p.out, "%s|B|%v|%d|%s%s\n", head, addrText(n.Addr), n.AS, route, p.attributes(&u, wire.Options{AS4: rec.AS4}))
			p.block = u.Attrs
		}
	case Message:
		if rec.Message[18] == wire.MsgUpdate {
			p.update(head, rec)
		}
	}
}

func (p *printer) update(head string, rec *Record) {
	o := wire.Options{AS4: rec.AS4, ExtMsg: true, Families: [2]bool{true, true}, AddPath: [2]bool{rec.AddPath, rec.AddPath}}
	var u wire.Update
	err := wire.Split(rec.Message[wire.HeaderLen:], &o, &u)
	if u.Ignored { // multicast, which bgpdump prints as unicast
		for _, kind := range [...]byte{attrReach, attrUnreach} {
			if v := find(u.Attrs, kind); len(v) > 2 {
				v[2] = 1
			}
		}
		err = wire.Split(rec.Message[wire.HeaderLen:], &o, &u)
	}
	if err != nil {
		fmt.Fprintf(&p.out, "%s|%v\n", head, err)
		return
	}
	text := func() string { return p.attributes(&u, o) }
	p.list(head+"|W", rec, u.Withdrawn, nil)
	p.list(head+"|A", rec, u.Announced, text)
	p.list(head+"|W", rec, u.Unreach, nil)
	p.list(head+"|A", rec, u.Reach, text)
}

// list prints a line for each prefix of l.
func (p *printer) list(head string, rec *Record, l wire.NLRI, attributes func() string) {
	if len(l.Data) == 0 {
		return
	}
	p.routes, _ = l.Decode(p.routes[:0]) // up to what cannot be read, as bgpdump
	text := ""
	if attributes != nil {
		text = attributes()
	}
	for _, route := range p.routes {
		fmt.Fprintf(&p.out, "%s|%s|%d|%s%s\n", head, addrText(rec.PeerAddr), rec.PeerAS, addrText(route.Prefix), text)
	}
}

// attributes are the fields behind the prefix.
func (p *printer) attributes(u *wire.Update, o wire.Options) string {
	o.EBGP = find(u.Attrs, 5) == nil // with LOCAL_PREF, the collector is in the neighbor's AS
	block, v := u.Validate(&o, u.HasReach, p.canon)
	if v.Action >= wire.TreatAsWithdraw && o.AS4 {
		block = u.Attrs // bgpdump prints what there is
	}
	a := wire.Attrs{Origin: wire.OriginIncomplete}
	if len(block) > 0 {
		wire.Parse(block, u.ReachNextHop, &a)
	}
	hop, ok := netip.AddrFromSlice(a.NextHop[:min(len(a.NextHop), 16)])
	if !ok {
		hop = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	aggregate, aggregator := "NAG", ""
	if a.Has&wire.HasAtomicAggregate != 0 {
		aggregate = "AG"
	}
	if a.Has&wire.HasAggregator == 0 && find(u.Attrs, 7) != nil {
		a.Has |= wire.HasAggregator // discarded for its AS number 0 (RFC 7607 section 2)
	}
	if a.Has&wire.HasAggregator != 0 {
		var id [4]byte
		binary.BigEndian.PutUint32(id[:], a.AggregatorID)
		aggregator = fmt.Sprintf("%d %v", a.AggregatorAS, netip.AddrFrom4(id))
	}
	return fmt.Sprintf("|%s|%s|%v|%d|%d|%s|%s|%s|", pathText(a.ASPath), [...]string{"IGP", "EGP", "INCOMPLETE"}[a.Origin],
		addrText(hop), a.LocalPref, a.MED, communities(&a), aggregate, aggregator)
}

// find returns the value of an attribute, nil if there is none.
func find(attrs []byte, kind byte) []byte {
	for {
		n, value := attribute(attrs)
		if n == 0 || attrs[1] == kind {
			return value
		}
		attrs = attrs[n:]
	}
}

// addrText shortens a single group of zeros as well (RFC 5952 section 4.2.2
// does not).
func addrText(a fmt.Stringer) string {
	s := a.String()
	if !strings.Contains(s, "::") {
		s = strings.Replace(s, ":0:", "::", 1)
	}
	return s
}

func pathText(p []byte) string {
	var b strings.Builder
	for {
		typ, asns, rest, ok := wire.NextSegment(p)
		if !ok {
			return b.String()
		}
		marks := [...][3]string{wire.SegSet: {"{", ",", "}"}, wire.SegSequence: {"", " ", ""},
			wire.SegConfedSequence: {"(", " ", ")"}, wire.SegConfedSet: {"[", ",", "]"}}[typ]
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		for i := 0; i < len(asns); i += 4 {
			fmt.Fprintf(&b, "%s%d", marks[min(i, 1)], binary.BigEndian.Uint32(asns[i:]))
		}
		b.WriteString(marks[2])
		p = rest
	}
}

func communities(a *wire.Attrs) string {
	var out []string
	for c := a.Communities; len(c) > 0; c = c[4:] {
		switch n := binary.BigEndian.Uint32(c); n {
		case 0xffffff01:
			out = append(out, "no-export")
		case 0xffffff02:
			out = append(out, "no-advertise")
		case 0xffffff03:
			out = append(out, "local-AS")
		default:
			out = append(out, fmt.Sprintf("%d:%d", n>>16, n&0xffff))
		}
	}
	return strings.Join(out, " ")
}

// dumps finds the dumps that have an expectation: those bundled, or where
// HOLDFAST_DATA says all.
func dumps(t *testing.T) map[string]string {
	data, want := "testdata", "testdata"
	if dir := os.Getenv("HOLDFAST_DATA"); dir != "" {
		data, want = filepath.Join(dir, "mrt"), filepath.Join(dir, "mrt", "expect")
	}
	names, err := filepath.Glob(filepath.Join(want, "*.bgp.gz"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range names {
		dump := filepath.Join(data, strings.TrimSuffix(filepath.Base(name), ".bgp.gz"))
		if _, err := os.Stat(dump); err == nil { // an expectation may come without its dump
			out[dump] = name
		}
	}
	if len(out) == 0 {
		t.Fatalf("no dumps in %s", data)
	}
	return out
}

// What bgpdump prints of real dumps is what we read.
func TestBgpdump(t *testing.T) {
	for dump, expect := range dumps(t) {
		t.Run(filepath.Base(dump), func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(dump)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			r, err := NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			e, err := os.Open(expect)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			z, err := gzip.NewReader(e)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, r, bufio.NewScanner(z))
			if info, err := f.Stat(); err != nil || info.Size() != r.InputBytes() {
				t.Errorf("%v, read %d bytes of %d", err, r.InputBytes(), info.Size())
			}
		})
	}
}

func compare(t *testing.T, r *Reader, want *bufio.Scanner) {
	var p printer
	lines, wrong := 0, 0
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var bad *FormatError
		if errors.As(err, &bad) {
			t.Error(err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		p.out.Reset()
		p.record(r, rec)
		for line := range bytes.Lines(p.out.Bytes()) {
			lines++
			line = bytes.TrimSuffix(line, []byte("\n"))
			if !want.Scan() {
				t.Fatalf("line %d: more than expected: %s", lines, line)
			}
			if !bytes.Equal(line, want.Bytes()) {
				if t.Errorf("line %d:\n got %s\nwant %s", lines, line, want.Bytes()); wrong == 10 {
					t.FailNow()
				}
				wrong++
			}
		}
	}
	if want.Scan() {
		t.Errorf("behind line %d: %s is missing", lines, want.Bytes())
	}
	if err := want.Err(); err != nil {
		t.Error(err)
	}
	if lines == 0 {
		t.Error("nothing was compared")
	}
}
