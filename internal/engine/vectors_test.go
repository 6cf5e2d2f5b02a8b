package engine

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// vector is a message with what must become of it. The file and its origin are
// package wire's.
type vector struct {
	Name, Kind, Hex, Expect string
	AcceptAlso              []string `json:"accept_also"`
	Options                 struct {
		AS4, ExtMsg, Confed bool
		AddPath             []string
		Peer                string
		Families, Needs     []string
	}
	Decoded struct {
		NLRI    []string
		MPReach []string `json:"mp_reach"`
		Attrs   struct {
			ASPath      string `json:"as_path"`
			Communities []string
		}
	}
}

func vectors(t *testing.T) (all []vector) {
	f, err := os.Open("../wire/testdata/vectors.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// unicast reports whether only IPv4 and IPv6 unicast are in play: other
// families are never negotiated here, and what they carry is ignored.
func (v *vector) unicast() bool {
	return !slices.ContainsFunc(v.Options.Families, func(f string) bool { return f != "1/1" && f != "2/1" })
}

// framed reports whether the header is right: sessions let nothing else through.
func (v *vector) framed(t *testing.T) bool {
	msg, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	limit := wire.MaxMsgLen
	if v.Options.ExtMsg {
		limit = wire.MaxExtendedLen
	}
	_, n, bad := wire.ParseHeader(msg, limit)
	return bad == nil && n == len(msg)
}

// prefixes are those that the vector announces, as far as they are plain.
func (v *vector) prefixes(t *testing.T) (ps []prefix.Prefix) {
	for _, s := range append(slices.Clone(v.Decoded.NLRI), v.Decoded.MPReach...) {
		s, _, _ = strings.Cut(s, " ")
		n, err := netip.ParsePrefix(s)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		ps = append(ps, prefix.FromNetip(n))
	}
	return ps
}

// kept says why a route that is valid is not sent to an eBGP neighbor.
func (v *vector) kept() string {
	for _, c := range v.Decoded.Attrs.Communities {
		if c == "65535:65281" || c == "65535:65282" || c == "65535:65283" {
			return "NO_EXPORT, NO_ADVERTISE and NO_EXPORT_SUBCONFED stay here (RFC 1997)"
		}
	}
	if strings.Contains(v.Decoded.Attrs.ASPath, "(") || strings.Contains(v.Decoded.Attrs.ASPath, "[") {
		return "confederation segments from outside of one are malformed (RFC 5065 section 5)"
	}
	return ""
}

// TestVectors plays every UPDATE to a whole router: neighbor 1 sends a route,
// then the vector, then another route; neighbor 2 sees what the router makes of
// it, and must never notice more than that.
func TestVectors(t *testing.T) {
	played := 0
	for _, v := range vectors(t) {
		if v.Kind != "update" || !v.unicast() || !v.framed(t) {
			continue
		}
		played++
		t.Run(v.Name, func(t *testing.T) { v.play(t) })
	}
	if played < 900 {
		t.Errorf("only %d vectors were played", played)
	}
}

func (v *vector) play(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	ebgp := v.Options.Peer == "ebgp"
	cfg.ASN, cfg.RouterID = 64511, 0x0aff0001
	for i := range cfg.Neighbors {
		cfg.Neighbors[i].LocalASN, cfg.Neighbors[i].Checks = 64511, Checks{}
	}
	if !ebgp {
		cfg.Neighbors[0].EBGP, cfg.Neighbors[0].ASN = false, 64511
	}
	core := NewCore(quiet())
	core.Configure(cfg)
	injector, observer := newPeer(t, 1), newPeer(t, 2)
	observer.room = 1 << 10
	est := established(1)
	est.Read.EBGP, est.Read.AS4, est.Read.ExtMsg = ebgp, v.Options.AS4, v.Options.ExtMsg
	est.Read.ExtNH = slices.Contains(v.Options.Needs, "enhe")
	for f := range prefix.Family(prefix.Families) {
		est.Read.AddPath[f] = slices.Contains(v.Options.AddPath, map[prefix.Family]string{prefix.IPv4: "1/1", prefix.IPv6: "2/1"}[f])
	}
	core.Up(1, est, injector)
	core.Up(2, established(2), observer)

	send := func(p prefix.Prefix, announce bool) {
		a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: []byte{10, 99, 0, 2}}
		if ebgp {
			a.ASPath = []byte{2, 1, 0, 0, 0xfd, 0xe9}
		}
		var nextHop []byte
		if p.Family == prefix.IPv6 {
			nextHop = netip.MustParseAddr("2001:db8:ffff::2").AsSlice()
		}
		list := nlri(p, 1, est.Read.AddPath[p.Family])
		block := a.Append(nil, nextHop != nil)
		if !v.Options.AS4 {
			block = a.AppendAS2(nil, nextHop != nil)
		}
		if announce {
			core.Messages(1, wire.AppendUpdate(nil, p.Family, nil, block, nextHop, list))
		} else {
			core.Messages(1, wire.AppendUpdate(nil, p.Family, list, nil, nil, nil))
		}
		core.Settle()
		observer.read()
	}
	prefixes := v.prefixes(t)
	addPath := len(v.Options.AddPath) > 0
	for _, p := range prefixes {
		if !addPath {
			send(p, true)
			if _, ok := observer.table[wire.Route{Prefix: p}]; !ok {
				t.Fatalf("the observer was not sent %v", p)
			}
		}
	}
	msg, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	core.Messages(1, msg)
	core.Settle()
	observer.read()

	outcome := "valid"
	switch {
	case injector.closed != nil:
		outcome = "session-reset"
	case core.neighbors[1].bad.Withdrawn > 0:
		outcome = "treat-as-withdraw"
	case core.neighbors[1].bad.Discarded > 0:
		outcome = "attribute-discard"
	}
	expect := append([]string{v.Expect}, v.AcceptAlso...)
	// What an attribute that is dropped without a word does to the routes is
	// nothing, and that is what counts here.
	fine := slices.Contains(expect, outcome) || outcome == "valid" && slices.Contains(expect, "attribute-discard") ||
		outcome == "treat-as-withdraw" && strings.Contains(v.kept(), "RFC 5065")
	if !fine {
		t.Errorf("%s, want %v", outcome, expect)
	}
	for _, p := range prefixes {
		_, ok := observer.table[wire.Route{Prefix: p}]
		switch {
		case outcome == "treat-as-withdraw" && ok && !addPath:
			t.Errorf("the observer still has %v", p)
		case outcome == "valid" && v.kept() == "" && !ok && core.usable(p):
			t.Errorf("the observer was not sent %v", p)
		}
	}
	if outcome == "session-reset" {
		core.Down(1, sessionReason)
		core.Settle()
		observer.read()
		if len(observer.table) > 0 {
			t.Errorf("after the reset the observer has %v", observer.table)
		}
	} else if next := prefix.MustParse("203.0.113.77/32"); !slices.Contains(prefixes, next) {
		send(next, true)
		if _, ok := observer.table[wire.Route{Prefix: next}]; !ok {
			t.Error("the next route did not get through")
		}
	}
	if observer.closed != nil {
		t.Errorf("the observer's session ended: %+v", *observer.closed)
	}
}

// usable reports whether the router has a best path for a prefix.
func (c *Core) usable(p prefix.Prefix) bool {
	id := c.tables[0][p.Family].Lookup(p)
	return id != 0 && c.tables[0][p.Family].Best(id) != nil
}
