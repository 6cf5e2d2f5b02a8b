package config

import (
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

// Defaults of what a neighbor may set.
const (
	DefaultPort         = 179
	DefaultDSCP         = 48 // CS6, network control (RFC 4594)
	DefaultMetricsPort  = 9179
	DefaultHoldTime     = 90 * time.Second // RFC 4271 section 10
	DefaultConnectRetry = 120 * time.Second
	DefaultIdleHold     = 5 * time.Second
	DefaultLimitWarn    = 80 // percent
	DefaultRestartAfter = 30 * time.Minute
	DefaultRestartTime  = 120 * time.Second
	DefaultStaleTime    = 360 * time.Second

	DefaultBFDInterval   = 300 * time.Millisecond
	DefaultBFDMultiplier = 3
)

// Settings are the arguments of a group, neighbor or family block as they were
// written: nil for what was not.
type Settings struct {
	// Of neighbors only.
	Group      *string
	Address    *netip.Addr
	Interface  *string
	Prefixes   *Members[policy.PrefixSet]
	OriginASNs *Members[policy.ASSet]
	// Of neighbor ranges only, which have the others but Address and Interface.
	Addresses *[]netip.Prefix
	ASNs      *Members[policy.ASSet]
	Limit     *uint16

	Table            *string
	ASN, LocalASN    *uint32
	LocalASNOptions  *[]localASNOption
	DualAS           *bool
	Passive          *bool
	Port             *uint16
	LocalAddress     *netip.Addr
	Multihop         *uint8
	TTLSecurity      *uint8
	MSS              *uint16
	DSCP             *uint8
	Password         *passwordFile
	HoldTime         *time.Duration
	Keepalive        *time.Duration
	ConnectRetry     *time.Duration
	IdleHold         *time.Duration
	UserTimeout      *time.Duration
	FastFallover     *bool
	BFD              *bool
	BFDInterval      *time.Duration
	BFDMinReceive    *time.Duration
	BFDMultiplier    *uint8
	Families         *[]prefix.Family
	GracefulRestart  *GracefulRestart
	RestartTime      *time.Duration
	StaleTime        *time.Duration
	LongLived        *time.Duration
	ExtendedMessages *bool
	LocalRole        *Role
	RequireRole      *bool
	GracefulShutdown *bool
	Shutdown         *shutdown
	Description      *string
	Tags             *[]string

	EnforceFirstAS  *bool
	AllowOwnAS      *uint8
	MaxASPathLength *uint32
	RejectASSets    *bool
	AcceptShutdown  *bool

	Import, Export       *[]string
	NextHop              *NextHop
	MaxPrefixes          *uint32
	MaxPrefixesWarn      *uint8
	MaxPrefixesCount     *limitCount
	MaxPrefixesAction    *LimitAction
	MaxPrefixesRestart   *time.Duration
	MaxPrefixesOut       *uint32
	SendSuppressed       *bool
	AddPath              *addPath
	AddPathSend          *uint16
	ExtendedNextHop      *bool
	DefaultOriginate     *bool
	RemovePrivateAS      *bool
	ASOverride           *bool
	RouteReflectorClient *bool
	RouteServerClient    *bool
}

// passwordFile is a file and what stood in it. Its fields are exported because
// fmt asks only such fields to print themselves.
type passwordFile struct {
	Name   string
	Secret Secret
}

// shutdown is true, or the reason for it as a string.
type shutdown struct {
	on     bool
	reason string
}

// localASNOption is what local_asn does beside (RFC 7705 section 3.3).
type localASNOption uint8

const (
	sendBoth localASNOption = iota
	prependInbound
)

type limitCount uint8

const (
	countReceived limitCount = iota
	countAccepted
)

type addPath uint8

const (
	addPathNone addPath = iota
	addPathReceive
	addPathSend
	addPathBoth
)

// AllPaths is how many paths of a prefix a neighbor is sent that is to have all:
// so many that nobody has more.
const AllPaths = 256

// perFamily are the arguments that a family block may have too.
var perFamily = schema[Settings]{arguments: []argument[Settings]{
	optional("import", refs("policy"), func(s *Settings) **[]string { return &s.Import }),
	optional("export", refs("policy"), func(s *Settings) **[]string { return &s.Export }),
	optional("next_hop", nextHop, func(s *Settings) **NextHop { return &s.NextHop }),
	optional("max_prefixes", number[uint32](0, math.MaxUint32), func(s *Settings) **uint32 { return &s.MaxPrefixes }),
	optional("max_prefixes_warn", number[uint8](1, 100), func(s *Settings) **uint8 { return &s.MaxPrefixesWarn }),
	optional("max_prefixes_count", choice[limitCount]("received", "accepted"), func(s *Settings) **limitCount { return &s.MaxPrefixesCount }),
	optional("max_prefixes_action", choice[LimitAction](limitActions...), func(s *Settings) **LimitAction { return &s.MaxPrefixesAction }),
	optional("max_prefixes_restart", duration(time.Second, 7*24*time.Hour), func(s *Settings) **time.Duration { return &s.MaxPrefixesRestart }),
	optional("max_prefixes_out", number[uint32](0, math.MaxInt32), func(s *Settings) **uint32 { return &s.MaxPrefixesOut }),
	optional("add_path", choice[addPath]("none", "receive", "send", "both"), func(s *Settings) **addPath { return &s.AddPath }),
	optional("add_path_send", pathCount, func(s *Settings) **uint16 { return &s.AddPathSend }),
	optional("default_originate", boolean, func(s *Settings) **bool { return &s.DefaultOriginate }),
	optional("send_suppressed", boolean, func(s *Settings) **bool { return &s.SendSuppressed }),
	optional("remove_private_as", boolean, func(s *Settings) **bool { return &s.RemovePrivateAS }),
	optional("as_override", boolean, func(s *Settings) **bool { return &s.ASOverride }),
	optional("route_reflector_client", boolean, func(s *Settings) **bool { return &s.RouteReflectorClient }),
	optional("route_server_client", boolean, func(s *Settings) **bool { return &s.RouteServerClient }),
}}

// perSession are those that belong to the whole session.
var perSession = []argument[Settings]{
	optional("description", text(255), func(s *Settings) **string { return &s.Description }),
	optional("tags", list(text(64)), func(s *Settings) **[]string { return &s.Tags }),
	optional("shutdown", shutdowns, func(s *Settings) **shutdown { return &s.Shutdown }),
	optional("graceful_shutdown", boolean, func(s *Settings) **bool { return &s.GracefulShutdown }),
	optional("table", one("table"), func(s *Settings) **string { return &s.Table }),
	optional("asn", asNumber, func(s *Settings) **uint32 { return &s.ASN }),
	optional("local_asn", asNumber, func(s *Settings) **uint32 { return &s.LocalASN }),
	optional("local_asn_options", list(choice[localASNOption]("send-both", "prepend-inbound")), func(s *Settings) **[]localASNOption { return &s.LocalASNOptions }),
	optional("dual_as", boolean, func(s *Settings) **bool { return &s.DualAS }),
	optional("local_role", role, func(s *Settings) **Role { return &s.LocalRole }),
	optional("require_role", boolean, func(s *Settings) **bool { return &s.RequireRole }),
	optional("local_address", address, func(s *Settings) **netip.Addr { return &s.LocalAddress }),
	optional("port", number[uint16](1, math.MaxUint16), func(s *Settings) **uint16 { return &s.Port }),
	optional("passive", boolean, func(s *Settings) **bool { return &s.Passive }),
	optional("multihop", number[uint8](1, 255), func(s *Settings) **uint8 { return &s.Multihop }),
	optional("ttl_security", number[uint8](1, 254), func(s *Settings) **uint8 { return &s.TTLSecurity }),
	optional("mss", number[uint16](88, 32767), func(s *Settings) **uint16 { return &s.MSS }), // Linux's limits
	optional("dscp", number[uint8](0, 63), func(s *Settings) **uint8 { return &s.DSCP }),
	optional("password_file", passwords, func(s *Settings) **passwordFile { return &s.Password }),
	optional("hold_time", holdTime, func(s *Settings) **time.Duration { return &s.HoldTime }),
	optional("keepalive", duration(time.Second, math.MaxUint16*time.Second/3), func(s *Settings) **time.Duration { return &s.Keepalive }),
	optional("connect_retry", duration(time.Second, time.Hour), func(s *Settings) **time.Duration { return &s.ConnectRetry }),
	optional("idle_hold", duration(time.Second, time.Hour), func(s *Settings) **time.Duration { return &s.IdleHold }),
	optional("tcp_user_timeout", duration(0, time.Hour), func(s *Settings) **time.Duration { return &s.UserTimeout }),
	optional("fast_fallover", boolean, func(s *Settings) **bool { return &s.FastFallover }),
	optional("bfd", boolean, func(s *Settings) **bool { return &s.BFD }),
	optional("bfd_interval", bfdInterval, func(s *Settings) **time.Duration { return &s.BFDInterval }),
	optional("bfd_min_receive", bfdInterval, func(s *Settings) **time.Duration { return &s.BFDMinReceive }),
	optional("bfd_multiplier", number[uint8](1, 255), func(s *Settings) **uint8 { return &s.BFDMultiplier }),
	optional("families", families, func(s *Settings) **[]prefix.Family { return &s.Families }),
	optional("graceful_restart", gracefulRestarts, func(s *Settings) **GracefulRestart { return &s.GracefulRestart }),
	optional("graceful_restart_time", duration(time.Second, 4095*time.Second), func(s *Settings) **time.Duration { return &s.RestartTime }), // 12 bits
	optional("stale_routes_time", duration(time.Second, 24*time.Hour), func(s *Settings) **time.Duration { return &s.StaleTime }),
	optional("long_lived_graceful_restart", duration(0, (1<<24-1)*time.Second), func(s *Settings) **time.Duration { return &s.LongLived }), // 24 bits
	optional("extended_messages", boolean, func(s *Settings) **bool { return &s.ExtendedMessages }),
	optional("extended_next_hop", boolean, func(s *Settings) **bool { return &s.ExtendedNextHop }),
	optional("enforce_first_as", boolean, func(s *Settings) **bool { return &s.EnforceFirstAS }),
	optional("allow_own_as", number[uint8](0, 10), func(s *Settings) **uint8 { return &s.AllowOwnAS }),
	optional("max_as_path_length", number[uint32](1, 4095), func(s *Settings) **uint32 { return &s.MaxASPathLength }),
	optional("reject_as_sets", boolean, func(s *Settings) **bool { return &s.RejectASSets }),
	optional("accept_graceful_shutdown", boolean, func(s *Settings) **bool { return &s.AcceptShutdown }),
}

// take gives s what it has not from other.
func (s *Settings) take(other *Settings) {
	if other == nil {
		return
	}
	for _, a := range perSession {
		a.inherit(s, other)
	}
	for _, a := range perFamily.arguments {
		a.inherit(s, other)
	}
}

var role = codec[Role]{
	read: func(v value) (Role, bool) {
		// "none" last: it is what the fewest mean.
		r, ok := choice[Role](append(slices.Clone(roles[1:]), roles[0])...).read(v)
		return (r + 1) % Role(len(roles)), ok
	},
	write: func(r Role) string { return quote(r.String()) },
}

var shutdowns = codec[shutdown]{
	read: func(v value) (shutdown, bool) {
		if _, isText := v.text(); isText {
			// RFC 9003 section 2: at most 255 bytes.
			reason, ok := text(255).read(v)
			return shutdown{true, reason}, ok
		}
		on, ok := boolean.read(v)
		return shutdown{on: on}, ok
	},
	write: func(s shutdown) string {
		if s.reason != "" {
			return quote(s.reason)
		}
		return boolean.write(s.on)
	},
}

// gracefulRestarts is true, false or "helper".
var gracefulRestarts = codec[GracefulRestart]{
	read: func(v value) (GracefulRestart, bool) {
		if s, isText := v.text(); isText && s != "true" && s != "false" {
			_, ok := choice[uint8]("helper").read(v)
			return RestartHelper, ok
		}
		on, ok := boolean.read(v)
		if on {
			return RestartBoth, ok
		}
		return RestartOff, ok
	},
	write: func(g GracefulRestart) string {
		if g == RestartHelper {
			return quote("helper")
		}
		return boolean.write(g == RestartBoth)
	},
}

var holdTime = codec[time.Duration]{
	read: func(v value) (time.Duration, bool) {
		d, ok := duration(0, math.MaxUint16*time.Second).read(v)
		if ok && d != 0 && d < 3*time.Second {
			// RFC 4271 section 4.2
			v.fail(`write at least "3s", or "0s" to do without`, "hold_time must be 0 or at least 3 seconds, not %s", seconds(d))
			return 0, false
		}
		return d, ok
	},
	write: duration(0, 0).write,
}

// bfdInterval is as short as one thread can keep for hundreds of neighbors.
var bfdInterval = milliseconds(10*time.Millisecond, time.Minute)

var families = list(choice[prefix.Family]("ipv4", "ipv6"))

// pathCount is how many paths, or "all".
var pathCount = codec[uint16]{
	read: func(v value) (uint16, bool) {
		if s, ok := v.text(); ok && s == "all" {
			return AllPaths, true
		} else if ok {
			v.fail(`write "all", or how many at the most, without quotes`, "%s cannot be %s", v.name, quote(s))
			return 0, false
		}
		return number[uint16](1, AllPaths-1).read(v)
	},
	write: func(n uint16) string {
		if n == AllPaths {
			return quote("all")
		}
		return number[uint16](1, AllPaths-1).write(n)
	},
}

var nextHop = codec[NextHop]{
	read: func(v value) (NextHop, bool) {
		s, ok := v.str(`"auto", "self", "unchanged" or an address`, `"self"`)
		if !ok {
			return NextHop{}, false
		}
		for mode, word := range nextHopWords {
			if s == word {
				return NextHop{Mode: policy.NextHopMode(mode)}, true
			}
		}
		if a, err := netip.ParseAddr(s); err != nil && suggest(s, nextHopWords[:]) != "" || err != nil && a == (netip.Addr{}) {
			fix := `write "auto", "self", "unchanged" or an address`
			if near := suggest(s, nextHopWords[:]); near != "" {
				fix = "did you mean " + quote(near) + "?"
			}
			v.fail(fix, "next_hop cannot be %s", quote(s))
			return NextHop{}, false
		}
		a, ok := address.read(v)
		return NextHop{policy.NextHopAddress, a}, ok
	},
	write: func(n NextHop) string {
		if n.Mode == policy.NextHopAddress {
			return quote(n.Address.String())
		}
		return quote(nextHopWords[n.Mode])
	},
}

var nextHopWords = [...]string{policy.NextHopDefault: "auto", policy.NextHopSelf: "self", policy.NextHopUnchanged: "unchanged"}

// interfaceName is a network interface (15 characters are Linux's limit).
var interfaceName = codec[string]{
	read: func(v value) (string, bool) {
		s, ok := text(15).read(v)
		if ok && (s == "" || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == '/' || c == '%' || c == 0x7f })) {
			v.fail(`write a name like "eth0"`, "%s is no interface", quote(s))
			return "", false
		}
		return s, ok
	},
	write: quote,
}

// passwords reads the file, without a newline at its end.
var passwords = codec[passwordFile]{
	read: func(v value) (passwordFile, bool) {
		name, ok := v.str("the name of a file", `"/etc/holdfast/NAME.key"`)
		if !ok {
			return passwordFile{}, false
		}
		f, path, ok := v.open(name)
		if !ok {
			return passwordFile{}, false
		}
		defer f.Close() // nothing was written
		if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o007 != 0 {
			v.warnf(v.at(), "chmod 600 "+path, "%s can be read by every user of this machine", path)
		}
		text, err := io.ReadAll(io.LimitReader(f, 4*longestPassword))
		secret := strings.TrimRight(string(text), "\r\n")
		switch {
		case err != nil:
			v.fail("", "cannot read %s: %v", path, reason(err))
		case secret == "":
			v.fail("put the password into it", "%s is empty", path)
		case len(secret) > longestPassword:
			v.fail("shorten it", "the password in %s has more than %d bytes, which is the limit of Linux", path, longestPassword)
		case strings.ContainsAny(secret, "\r\n"):
			v.fail("a file has one password, on one line", "%s has more than one line", path)
		default:
			return passwordFile{name, Secret{secret}}, true
		}
		return passwordFile{}, false
	},
	write: func(p passwordFile) string { return quote(p.Name) },
}

// longestPassword is TCP_MD5SIG_MAXKEYLEN of Linux.
const longestPassword = 80
