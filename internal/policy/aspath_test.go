package policy

import (
	"testing"

	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// TestVerification: which path it is that is verified
// (draft-ietf-sidrops-aspa-verification section 6).
func TestVerification(t *testing.T) {
	by := rpki.NewASPAs([]rpki.ASPA{{Customer: 3, Providers: []uint32{2}}, {Customer: 2, Providers: []uint32{1}}})
	sequence := func(asns ...byte) []byte {
		b := []byte{wire.SegSequence, byte(len(asns))}
		for _, a := range asns {
			b = append(b, 0, 0, 0, a)
		}
		return b
	}
	up, server := Verification{rpki.Upstream, 1}, Verification{rpki.Upstream, 0}
	for name, c := range map[string]struct {
		v    Verification
		by   *rpki.ASPAs
		path []byte
		want rpki.State
	}{
		"as it is":                  {up, by, sequence(1, 2, 3), rpki.Valid},
		"prepended":                 {up, by, sequence(1, 1, 1, 2, 3, 3), rpki.Valid},
		"in two segments":           {up, by, append(sequence(1, 2), sequence(2, 3)...), rpki.Valid},
		"the neighbor alone":        {up, by, sequence(1), rpki.Valid},
		"leaked":                    {Verification{rpki.Upstream, 4}, by, sequence(4, 3, 2), rpki.Invalid},
		"of an AS without an ASPA":  {up, by, sequence(1, 9), rpki.Unknown},
		"empty":                     {up, by, nil, rpki.Invalid},
		"empty, of a route server":  {server, by, nil, rpki.Invalid},
		"with an AS_SET":            {up, by, append(sequence(1, 2), wire.SegSet, 1, 0, 0, 0, 3), rpki.Invalid},
		"not by the neighbor":       {up, by, sequence(2, 3), rpki.Invalid},
		"by a route server":         {server, by, sequence(2, 3), rpki.Valid},
		"no role":                   {Verification{}, by, append(sequence(1, 2), wire.SegSet, 1, 0, 0, 0, 3), rpki.Unknown},
		"no ASPAs":                  {up, nil, nil, rpki.Unknown},
		"downwards from a provider": {Verification{rpki.Downstream, 2}, by, sequence(2, 1), rpki.Valid},
		"longer than usual":         {server, by, append(sequence(1), longPath()...), rpki.Unknown},
	} {
		if got := c.v.State(c.by, c.path); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// longPath has ASes that say nothing.
func longPath() []byte {
	b := []byte{wire.SegSequence, 200}
	for i := range byte(200) {
		b = append(b, 0, 0, 1, i)
	}
	return b
}
