package wire

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func text(j json.RawMessage) string {
	var s string
	if json.Unmarshal(j, &s) != nil {
		return string(j)
	}
	return s
}

func addr4(v uint32) string {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, v))).String()
}

// attrDifferences compares attributes one by one.
func (v *vector) attrDifferences(a *Attrs, mp bool) (diff []string) {
	got := describe(a, mp)
	want := v.wantAttrs(mp)
	for k, w := range want {
		if got[k] != w {
			diff = append(diff, fmt.Sprintf("%s: %s, want %s", k, got[k], w))
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			diff = append(diff, fmt.Sprintf("%s: %s is not expected", k, g))
		}
	}
	return diff
}

// describe has all attributes in the words of the vectors.
func describe(a *Attrs, mp bool) map[string]string {
	m := map[string]string{}
	has := func(bit uint16, name, value string) {
		if a.Has&bit != 0 {
			m[name] = value
		}
	}
	list := func(b []byte, size int, name string, one func([]byte) string) {
		var s []string
		for ; len(b) >= size; b = b[size:] {
			s = append(s, one(b[:size]))
		}
		if s != nil {
			m[name] = strings.Join(s, ",")
		}
	}
	has(HasOrigin, "origin", strings.ToUpper(OriginName(a.Origin)))
	has(HasASPath, "as_path", PathText(a.ASPath))
	has(HasMED, "med", fmt.Sprint(a.MED))
	has(HasLocalPref, "local_pref", fmt.Sprint(a.LocalPref))
	has(HasAtomicAggregate, "atomic_aggregate", "true")
	has(HasAggregator, "aggregator", fmt.Sprintf("%d %s", a.AggregatorAS, addr4(a.AggregatorID)))
	has(HasOriginatorID, "originator_id", addr4(a.OriginatorID))
	has(HasOTC, "otc", fmt.Sprint(a.OTC))
	has(HasAIGP, "aigp", fmt.Sprintf("01000b%016x", a.AIGP))
	list(a.Communities, 4, "communities", func(b []byte) string {
		return fmt.Sprintf("%d:%d", binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]))
	})
	list(a.ExtCommunities, 8, "ext_communities", hex.EncodeToString)
	list(a.IPv6Communities, 20, "ipv6_ext_communities", hex.EncodeToString)
	list(a.LargeCommunities, 12, "large_communities", func(b []byte) string { return LargeAt(b).String() })
	list(a.ClusterList, 4, "cluster_list", func(b []byte) string { return addr4(binary.BigEndian.Uint32(b)) })
	if mp && len(a.NextHop) > 0 {
		var s []string
		for nh := a.NextHop; len(nh) > 0; nh = nh[min(16, len(nh)):] {
			x, _ := netip.AddrFromSlice(nh[:min(16, len(nh))])
			s = append(s, x.String())
		}
		m["mp_next_hop"] = strings.Join(s, " ")
	} else if len(a.NextHop) == 4 {
		m["next_hop"] = addr4(binary.BigEndian.Uint32(a.NextHop))
	}
	for rest := a.Other; ; {
		flags, typ, value, more, ok := OtherAttr(rest)
		if !ok {
			break
		}
		m[fmt.Sprintf("other %d", typ)] = fmt.Sprintf("%#02x %x", flags&0xe0, value)
		rest = more
	}
	return m
}

// wantAttrs is what the block must have, from what the vector says that the
// message has.
func (v *vector) wantAttrs(mp bool) map[string]string {
	want := map[string]string{}
	in := v.Decoded.Attrs
	for k, j := range in {
		switch k {
		case "mp_family", "mp_unreach_family", "as4_path", "as4_aggregator":
		case "other":
			var others map[string]struct {
				Flags uint8
				Hex   string
			}
			if err := json.Unmarshal(j, &others); err != nil {
				panic(err)
			}
			for t, o := range others {
				// RFC 4271 section 5: not passed along. BGP-LS never is.
				if o.Flags&flagTransitive != 0 && t != "29" {
					want["other "+t] = fmt.Sprintf("%#02x %s", o.Flags&0xe0, o.Hex)
				}
			}
		case "next_hop":
			if !mp && len(v.Decoded.NLRI) > 0 { // RFC 4760 section 3
				want[k] = text(j)
			}
		case "mp_next_hop":
			if f := text(in["mp_family"]); mp && (f == "1/1" || f == "2/1" && slices.Contains(v.Options.Families, "2/1")) {
				want[k] = addresses(text(j))
			}
		case "aigp":
			if v.Options.Peer != "ebgp" { // RFC 7311 section 3.3
				want[k] = text(j)
			}
		case "aggregator":
			if s := text(j); !strings.HasPrefix(s, "0 ") { // RFC 7607 section 2
				want[k] = s
			}
		case "prefix_sid":
			want["other 40"] = "0xc0 " + text(j)
		default:
			var list []string
			if json.Unmarshal(j, &list) == nil {
				if k == "large_communities" && distinct(list) != len(list) { // RFC 8092 section 5
					c := make([]LargeCommunity, len(list))
					for i := range list {
						c[i], _ = ParseLargeCommunity(list[i])
					}
					slices.SortFunc(c, func(a, b LargeCommunity) int { return slices.Compare(a[:], b[:]) })
					list = nil
					for _, x := range slices.Compact(c) {
						list = append(list, x.String())
					}
				}
				want[k] = strings.Join(list, ",")
			} else {
				want[k] = text(j)
			}
		}
	}
	if !v.Options.AS4 {
		mergeWanted(want, text(in["as4_path"]), text(in["as4_aggregator"]))
	}
	return want
}

// addresses writes addresses as we do: "::ffff:192.0.2.1" has another form.
func addresses(s string) string {
	list := strings.Fields(s)
	for i := range list {
		list[i] = netip.MustParseAddr(list[i]).String()
	}
	return strings.Join(list, " ")
}

func distinct(list []string) int {
	l := slices.Clone(list)
	slices.Sort(l)
	return len(slices.Compact(l))
}

// mergeWanted is RFC 6793 section 4.2.3 in strings.
func mergeWanted(want map[string]string, path4, aggregator4 string) {
	if g := want["aggregator"]; g != "" && aggregator4 != "" {
		if !strings.HasPrefix(g, "23456 ") {
			return
		}
		want["aggregator"] = aggregator4
	}
	p2, p4 := strings.Fields(want["as_path"]), strings.Fields(path4)                          // sets have no spaces in them
	p4 = slices.DeleteFunc(p4, func(s string) bool { return strings.ContainsAny(s, "([])") }) // section 6
	if len(p4) > 0 && len(p4) <= len(p2) {
		want["as_path"] = strings.Join(append(slices.Clone(p2[:len(p2)-len(p4)]), p4...), " ")
	}
}
