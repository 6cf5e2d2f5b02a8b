package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/prefix"
)

// A vector is a message with what must become of it.
type vector struct {
	Name, Kind, Hex string
	Options         struct {
		AS4, ExtMsg, Confed bool
		AddPath             []string
		Peer                string
		Families, Needs     []string
	}
	Expect       string
	AcceptAlso   []string `json:"accept_also"`
	Notification []uint8
	Findings     []string
	Note         string
	Decoded      decoded
}

type decoded struct {
	Withdrawn, NLRI         []string
	MPReach                 []string `json:"mp_reach"`
	MPUnreach               []string `json:"mp_unreach"`
	OpaqueFamily            string   `json:"opaque_family"`
	EOR                     string
	Attrs                   map[string]json.RawMessage
	Version, ASN, Hold, AS4 *uint32
	ID                      string `json:"bgp_id"`
	Capabilities            []string
	Notification            *struct {
		Code, Subcode uint8
		Data          string
	}
	Refresh *struct {
		AFI           uint16
		Subtype, SAFI uint8
		ORF           *string
	} `json:"route_refresh"`
}

// readVectors reads the vectors: bytes from the tests and captures that each
// "source" names, expectations of our own.
func readVectors(t testing.TB) []vector {
	all, err := allVectors()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(all)
}

var allVectors = sync.OnceValues(func() ([]vector, error) {
	f, err := os.Open("testdata/vectors.jsonl.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var all []vector
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, lines.Err()
})

func (v *vector) options() Options {
	o := Options{EBGP: v.Options.Peer == "ebgp", Confed: v.Options.Confed, AS4: v.Options.AS4,
		ExtMsg: v.Options.ExtMsg, ExtNH: slices.Contains(v.Options.Needs, "enhe")}
	for _, f := range []prefix.Family{prefix.IPv4, prefix.IPv6} {
		name := fmt.Sprintf("%d/1", f.AFI())
		o.AddPath[f] = slices.Contains(v.Options.AddPath, name)
		o.Families[f] = f == prefix.IPv4 || slices.Contains(v.Options.Families, name)
	}
	return o
}

// result is what we made of a vector.
type result struct {
	outcome string
	err     *Error
	why     string
	update  *Update
	lists   [4][]Route // withdrawn, announced, reach, unreach
	blocks  [2]*Attrs  // for the NLRI field, for MP_REACH_NLRI
	open    Open
	note    Notification
	refresh Refresh
}

var outcomes = [...]string{Accept: "valid", AttributeDiscard: "attribute-discard", TreatAsWithdraw: "treat-as-withdraw", Reset: "session-reset"}

func run(v *vector) (r result) {
	reset := func(err *Error) result {
		r.outcome, r.err, r.why = outcomes[Reset], err, err.Why
		return r
	}
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		panic(err)
	}
	o := v.options()
	maxLen := MaxMsgLen
	if o.ExtMsg {
		maxLen = MaxExtendedLen
	}
	r.outcome = outcomes[Accept]
	if len(b) < HeaderLen {
		return r // a reader waits for more
	}
	typ, n, e := ParseHeader(b, maxLen)
	if e != nil {
		return reset(e)
	}
	if n > len(b) {
		return r
	}
	body := b[HeaderLen:n]
	switch typ {
	case MsgOpen:
		if r.open, e = ParseOpen(body); e != nil {
			return reset(e)
		}
	case MsgNotification:
		if r.note, e = ParseNotification(body); e != nil {
			return reset(e)
		}
	case MsgRefresh:
		if r.refresh, e = ParseRefresh(body); e != nil {
			return reset(e)
		}
	case MsgUpdate:
		r.update = new(Update)
		u := r.update
		if e := Split(body, &o, u); e != nil {
			return reset(e)
		}
		for i, l := range [4]NLRI{u.Withdrawn, u.Announced, u.Reach, u.Unreach} {
			if r.lists[i], e = l.Decode(nil); e != nil {
				return reset(e)
			}
		}
		worst := Verdict{}
		for i, wanted := range [2]bool{len(u.Announced.Data) > 0 || u.Suspect, len(u.Reach.Data) > 0 || u.Ignored} {
			if !wanted {
				continue
			}
			block, verdict := u.Validate(&o, i == 1, nil)
			if verdict.Action > worst.Action {
				worst = verdict
			}
			if block != nil {
				r.blocks[i] = new(Attrs)
				Parse(block, nil, r.blocks[i])
				if i == 1 {
					Parse(block, u.ReachNextHop, r.blocks[i])
				}
			}
		}
		r.outcome, r.err, r.why = outcomes[worst.Action], worst.Err, worst.Why
	}
	return r
}

// exceptions are vectors where we do something else, each with the sentence
// that says why.
var exceptions = map[string]struct {
	outcome      string
	notification []uint8
	why          string
}{
	// Prefixes that cannot be read, of VPN families that were never negotiated.
	"frr-mp_attr/IPv4-VPNv4-bogus-plen":  {"valid", nil, notNegotiated},
	"frr-mp_attr/IPv4-VPNv4-plen1-long":  {"valid", nil, notNegotiated},
	"frr-mp_attr/IPv4-VPNv4-plenn-short": {"valid", nil, notNegotiated},
	"frr-mp_attr/IPv4-VPNv4-0-nlri":      {"valid", nil, notNegotiated},
	"tcpdump/bgp-as-path-oobr-1":         {"valid", nil, notNegotiated},
	// The other vectors with the same errors want 3/9.
	"frr-7606/mp-reach-nexthop-len-bogus/ebgp":   {"session-reset", []uint8{3, 9}, optionalAttribute},
	"frr-7606/mp-reach-nexthop-len-overrun/ebgp": {"session-reset", []uint8{3, 9}, optionalAttribute},
	"frr-7606/mp-reach-nexthop-len-overrun/ibgp": {"session-reset", []uint8{3, 9}, optionalAttribute},
	"frr-7606/mp-reach-truncated/ebgp":           {"session-reset", []uint8{3, 9}, optionalAttribute},
	"frr-7606/mp-reach-truncated/ibgp":           {"session-reset", []uint8{3, 9}, optionalAttribute},
	// Wrong in MP_REACH_NLRI and in the NLRI field: no RFC orders them.
	"BGP/msg-44": {"session-reset", []uint8{3, 9}, optionalAttribute},
}

const (
	notNegotiated = `RFC 4760 section 7: "the speaker then SHOULD ignore all the subsequent routes with that AFI/SAFI received over that session".
		RFC 7606 section 2 calls that "AFI/SAFI disable" and lets it stand for a reset; a family that was not negotiated is disabled from the start.`
	optionalAttribute = `RFC 4760 section 7: "The session SHOULD be terminated with the Notification message code/subcode indicating
		"UPDATE Message Error"/"Optional Attribute Error"."`
)

func TestVectors(t *testing.T) {
	used := map[string]bool{}
	for _, v := range readVectors(t) {
		r := run(&v)
		x, excepted := exceptions[v.Name]
		used[v.Name] = excepted
		if excepted {
			if x.outcome == v.Expect && slices.Equal(x.notification, v.Notification) {
				t.Errorf("%s is no exception", v.Name)
			}
			v.Expect, v.AcceptAlso, v.Notification = x.outcome, nil, x.notification
		}
		switch {
		case r.outcome != v.Expect:
			if !slices.Contains(v.AcceptAlso, r.outcome) {
				t.Errorf("%s: %s (%s), want %s; %s %q", v.Name, r.outcome, r.why, v.Expect, v.Note, v.Findings)
			}
		case v.Notification != nil:
			if want := v.Notification; r.err.Code != want[0] || r.err.Subcode != want[1] {
				t.Errorf("%s: NOTIFICATION %d/%d (%s), want %d/%d; %q", v.Name, r.err.Code, r.err.Subcode, r.why, want[0], want[1], v.Findings)
			}
		}
		if r.outcome != outcomes[Reset] && v.Expect != outcomes[Reset] {
			for _, d := range v.differences(&r) {
				t.Errorf("%s: %s", v.Name, d)
			}
		}
	}
	for name := range exceptions {
		if !used[name] {
			t.Errorf("exception %s is of no vector", name)
		}
	}
}

// differences compares what was decoded.
func (v *vector) differences(r *result) (diff []string) {
	d := &v.Decoded
	bad := func(format string, args ...any) { diff = append(diff, fmt.Sprintf(format, args...)) }
	switch {
	case d.Notification != nil:
		if got := r.note; got.Code != d.Notification.Code || got.Subcode != d.Notification.Subcode || hex.EncodeToString(got.Data) != d.Notification.Data {
			bad("NOTIFICATION %+v, want %+v", got, d.Notification)
		}
	case d.Refresh != nil:
		if want := (Refresh{FamilyID{d.Refresh.AFI, d.Refresh.SAFI}, d.Refresh.Subtype}); r.refresh != want {
			bad("ROUTE-REFRESH %v, want %v", r.refresh, want)
		}
	case d.Version != nil:
		asn := *d.ASN
		if d.AS4 != nil {
			asn = *d.AS4
		}
		if r.open.ASN != asn || uint32(r.open.HoldTime) != *d.Hold || addr4(r.open.ID) != d.ID {
			bad("OPEN %+v, want AS %d, hold time %d, id %s", r.open, asn, *d.Hold, d.ID)
		}
		if want := d.capabilities(); !reflect.DeepEqual(r.open.Capabilities, want) {
			bad("capabilities %+v, want %+v", r.open.Capabilities, want)
		}
	case r.update != nil:
		o := v.options()
		mp := func(list []string, family json.RawMessage) []string {
			if f := text(family); f == "1/1" && o.Families[prefix.IPv4] || f == "2/1" && o.Families[prefix.IPv6] {
				return list
			}
			return nil
		}
		for i, want := range [4][]string{d.Withdrawn, d.NLRI, mp(d.MPReach, d.Attrs["mp_family"]), mp(d.MPUnreach, d.Attrs["mp_unreach_family"])} {
			var got []string
			addPath := len(want) > 0 && strings.Contains(want[0], "path-id")
			for _, x := range r.lists[i] {
				s := x.Prefix.String()
				if addPath {
					s += fmt.Sprintf(" path-id=%d", x.PathID)
				}
				got = append(got, s)
			}
			for k, s := range want { // "::ffff:0:0/96" is written in two ways
				if p, err := netip.ParsePrefix(s); err == nil {
					want[k] = p.String()
				}
			}
			if !slices.Equal(got, want) {
				bad("list %d: %v, want %v", i, got, want)
			}
		}
		if f, ok := r.update.EndOfRIB(); ok != (d.EOR == "1/1" || d.EOR == "2/1" && o.Families[prefix.IPv6]) || ok && fmt.Sprintf("%d/1", f.AFI()) != d.EOR {
			bad("End-of-RIB %v %v, want %q", f, ok, d.EOR)
		}
		for i, a := range r.blocks {
			if a != nil {
				diff = append(diff, v.attrDifferences(a, i == 1)...)
			}
		}
	}
	return diff
}

// capabilities reads the list of a vector, "code:value in hex", in one go.
func (d *decoded) capabilities() (c Capabilities) {
	for _, s := range d.Capabilities {
		code, value, _ := strings.Cut(s, ":")
		n, _ := strconv.Atoi(code)
		b, _ := hex.DecodeString(value)
		if err := c.parse(append([]byte{byte(n), byte(len(b))}, b...)); err != nil {
			panic(err)
		}
	}
	return c
}

// TestVectorsRoundTrip: what is accepted is written so that it reads the same.
func TestVectorsRoundTrip(t *testing.T) {
	n := 0
	for _, v := range readVectors(t) {
		r := run(&v)
		for i, a := range r.blocks {
			if a == nil {
				continue
			}
			n++
			mp := i == 1
			out := a.Append(nil, mp)
			var b Attrs
			nextHop := a.NextHop
			if !mp {
				nextHop = nil
			}
			Parse(out, nextHop, &b)
			if x, y := fmt.Sprint(describe(a, mp)), fmt.Sprint(describe(&b, mp)); x != y {
				t.Errorf("%s: %s became %s", v.Name, x, y)
			}
			if again := b.Append(nil, mp); !bytes.Equal(out, again) {
				t.Errorf("%s: %x was written as %x", v.Name, out, again)
			}
		}
	}
	if n < 900 {
		t.Errorf("only %d blocks", n)
	}
}
