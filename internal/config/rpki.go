package config

import (
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
)

// DefaultRTRPort is that of RFC 8210 section 9.1.
const DefaultRTRPort = 323

// RPKI is an rpki block: a source of validated ROA payloads, a cache or a file.
type RPKI struct {
	Name         string
	Pos          Pos
	Address      netip.Addr // of a cache; invalid for a file
	Port         uint16
	LocalAddress netip.Addr // invalid: the kernel chooses
	File         string     // as written; "" for a cache
	// Refresh and Expire go before what the cache says; 0: not given.
	Refresh, Expire time.Duration
}

// Path is where the file is: beside the configuration, if it does not say.
func (s *RPKI) Path() string {
	if filepath.IsAbs(s.File) {
		return s.File
	}
	return filepath.Join(filepath.Dir(s.Pos.File), s.File)
}

func noAddress(a netip.Addr) bool { return !a.IsValid() }

var rpkiBlock = schema[RPKI]{arguments: []argument[RPKI]{
	plain("address", address, func(s *RPKI) *netip.Addr { return &s.Address }, noAddress),
	plain("port", number[uint16](1, math.MaxUint16), func(s *RPKI) *uint16 { return &s.Port }, isZero[uint16]),
	plain("local_address", address, func(s *RPKI) *netip.Addr { return &s.LocalAddress }, noAddress),
	plain("file", text(4096), func(s *RPKI) *string { return &s.File }, isZero[string]),
	plain("refresh", duration(time.Second, 24*time.Hour), func(s *RPKI) *time.Duration { return &s.Refresh }, isZero[time.Duration]),
	plain("expire", duration(10*time.Minute, 7*24*time.Hour), func(s *RPKI) *time.Duration { return &s.Expire }, isZero[time.Duration]),
}}

func (r *reader) rpki(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	s := &RPKI{Name: name, Pos: pos(b.TypeRange)}
	decode(r, rpkiBlock, "rpki "+quote(name), b.DefRange(), b.Body, s)
	r.cfg.RPKI = append(r.cfg.RPKI, s)
	given := r.where[s]
	_, cache := given["address"]
	_, file := given["file"]
	switch {
	case cache && file:
		r.errorf(given["file"], "make it a block of its own", "rpki %s is a cache and a file", quote(name))
	case !cache && !file:
		r.errorf(b.DefRange(), `add address = "192.0.2.10" of a cache, or file = "/var/lib/rpki-client/json"`, "rpki %s does not say where the data come from", quote(name))
	case file:
		for _, only := range []string{"port", "local_address", "refresh"} {
			if at, ok := given[only]; ok {
				r.errorf(at, "remove it", "%s is for caches, and rpki %s is a file", only, quote(name))
			}
		}
	case s.LocalAddress.IsValid() && s.LocalAddress.Is4() != s.Address.Is4():
		r.errorf(given["local_address"], "write two addresses of one family", "rpki %s has an address and a local_address of different families", quote(name))
	}
	if cache && s.Port == 0 {
		s.Port = DefaultRTRPort
	}
}

var rpkiState = choice[rpki.State](rpki.Unknown.String(), rpki.Valid.String(), rpki.Invalid.String())

// asks reports whether a policy has a condition, "rpki" or "aspa".
func asks(p *policy.Policy, kind policy.Kind) bool {
	var ask func(policy.Match) bool
	ask = func(m policy.Match) bool {
		return slices.ContainsFunc(m.Conditions, func(c policy.Condition) bool { return c.Kind == kind }) || slices.ContainsFunc(m.Not, ask)
	}
	return slices.ContainsFunc(p.Rules, func(r policy.Rule) bool { return slices.ContainsFunc(r.Match, ask) })
}

// checkRPKI warns of policies that ask for what is never known.
func (r *reader) checkRPKI() {
	if len(r.cfg.RPKI) > 0 {
		return
	}
	for _, p := range r.cfg.Policies {
		for _, kind := range []policy.Kind{policy.CondRPKI, policy.CondASPA} {
			if asks(p, kind) {
				r.warnf(r.at(p.Pos, len("policy")), `add rpki "NAME" { address = "192.0.2.10" } with the address of a cache`,
					"policy %s asks for %s, and there is no rpki block: every route is unknown", quote(p.Name), kind)
				return
			}
		}
	}
}

// checkOnce refuses policies that ask for the validation state where they are
// asked only when the configuration or the kernel changes.
func (r *reader) checkOnce(what string, at Pos, width int, chain []string) {
	for _, name := range chain {
		if p := r.cfg.policiesByName[name]; p != nil && asks(p, policy.CondRPKI) {
			r.errorf(r.at(at, width), "ask in the export policies of neighbors", "%s: policy %s asks for rpki, which may change at any time", what, quote(name))
		}
	}
}

// Verification is how the AS paths of a neighbor are verified: by what we are to it
// (draft-ietf-sidrops-aspa-verification section 6).
func (n *Neighbor) Verification() policy.Verification {
	t := &n.Transport
	switch t.Role {
	case RoleProvider, RoleRS, RolePeer:
		return policy.Verification{Direction: rpki.Upstream, First: t.ASN}
	case RoleRSClient:
		return policy.Verification{Direction: rpki.Upstream} // a route server is in no path
	case RoleCustomer:
		return policy.Verification{Direction: rpki.Downstream, First: t.ASN}
	}
	return policy.Verification{}
}

// checkNoASPA refuses policies that ask for the state of AS paths where these do not
// come from a neighbor.
func (r *reader) checkNoASPA(what string, at hcl.Range, chain []string) {
	for _, name := range chain {
		if p := r.cfg.policiesByName[name]; p != nil && asks(p, policy.CondASPA) {
			r.errorf(at, "ask in the import policies of neighbors", "%s: policy %s asks for aspa, which is for routes that are received", what, quote(name))
			return
		}
	}
}

// checkASPA warns of a neighbor all of whose AS paths are unknown.
func (r *reader) checkASPA(n *Neighbor, own *party) {
	if n.Verification().Direction != rpki.Unverified {
		return
	}
	for _, name := range slices.Concat(n.Families[prefix.IPv4].Import, n.Families[prefix.IPv6].Import) {
		if p := r.cfg.policiesByName[name]; p != nil && asks(p, policy.CondASPA) {
			fix := "add local_role, what we are to it"
			if !n.EBGP() {
				fix = "ask where routes come in from other ASes"
			}
			r.warnf(own.head, fix, "neighbor %s: policy %s asks for aspa, and without a role every AS path is unknown", quote(n.Name), quote(name))
			return
		}
	}
}
