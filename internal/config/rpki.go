package config

import (
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
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

// asksRPKI reports whether a policy has the condition "rpki".
func asksRPKI(p *policy.Policy) bool {
	var ask func(policy.Match) bool
	ask = func(m policy.Match) bool {
		return slices.ContainsFunc(m.Conditions, func(c policy.Condition) bool { return c.Kind == policy.CondRPKI }) || slices.ContainsFunc(m.Not, ask)
	}
	return slices.ContainsFunc(p.Rules, func(r policy.Rule) bool { return slices.ContainsFunc(r.Match, ask) })
}

// checkRPKI warns of policies that ask for what is never known.
func (r *reader) checkRPKI() {
	if len(r.cfg.RPKI) > 0 {
		return
	}
	for _, p := range r.cfg.Policies {
		if asksRPKI(p) {
			r.warnf(r.at(p.Pos, len("policy")), `add rpki "NAME" { address = "192.0.2.10" } with the address of a cache`,
				"policy %s asks for rpki, and there is no rpki block: every route is unknown", quote(p.Name))
			return
		}
	}
}

// checkOnce refuses policies that ask for the validation state where they are
// asked only when the configuration or the kernel changes.
func (r *reader) checkOnce(what string, at Pos, width int, chain []string) {
	for _, name := range chain {
		if p := r.cfg.policiesByName[name]; p != nil && asksRPKI(p) {
			r.errorf(r.at(at, width), "ask in the export policies of neighbors", "%s: policy %s asks for rpki, which may change at any time", what, quote(name))
		}
	}
}
