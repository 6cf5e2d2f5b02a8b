package rtr

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/testkit/fakecache"
	"holdfast/testkit/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	routerAt = netip.MustParseAddr("10.0.0.1")
	cacheAt  = [...]netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:323"), netip.MustParseAddrPort("10.0.0.3:323")}
)

func vrpOf(p string, longest uint8, asn uint32) rpki.VRP {
	return rpki.VRP{Prefix: prefix.MustParse(p), MaxLen: longest, ASN: asn}
}

var (
	v1 = vrpOf("10.0.0.0/8", 16, 64496)
	v2 = vrpOf("192.0.2.0/24", 24, 64497)
	v3 = vrpOf("2001:db8::/32", 48, 64498)
	v4 = vrpOf("10.0.0.0/8", 8, 0)
)

// lab is a router and its network.
type lab struct {
	t   *testing.T
	net *memnet.Network
	s   *Sources

	mu        sync.Mutex
	table     *rpki.Table
	aspas     *rpki.ASPAs
	published []int // how many VRPs changed, each time
	log       strings.Builder
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, net: memnet.New()}
	dial := func(ctx context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
		c, err := l.net.Dial(ctx, routerAt, to)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	l.s = New(slog.New(slog.NewTextHandler(lockedWriter{l}, nil)), dial, func(vrps, changed *rpki.Table, aspas *rpki.ASPAs) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.table, l.aspas = vrps, aspas
		l.published = append(l.published, changed.Set().Len())
	})
	return l
}

type lockedWriter struct{ l *lab }

func (w lockedWriter) Write(b []byte) (int, error) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	return w.l.log.Write(b)
}

// cache is one at a place.
func (l *lab) cache(i int, session uint16) *fakecache.Cache {
	c := fakecache.New(session)
	l.serve(i, c)
	return c
}

func (l *lab) serve(i int, c *fakecache.Cache) {
	ln, err := l.net.Listen(cacheAt[i])
	if err != nil {
		l.t.Fatal(err)
	}
	c.Serve(ln)
}

func source0() Source { return Source{Name: "a", Address: cacheAt[0]} }

// has fails unless the router has these VRPs now.
func (l *lab) has(want ...rpki.VRP) {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var got []rpki.VRP
	for v := range l.table.Set().All() {
		got = append(got, v)
	}
	same := len(got) == len(want)
	for _, v := range want {
		same = same && slices.Contains(got, v)
	}
	if !same {
		l.t.Fatalf("VRPs %v, want %v\n%s", got, want, l.log.String())
	}
}

// hasASPAs fails unless the router has these now.
func (l *lab) hasASPAs(want ...rpki.ASPA) {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.aspas.Equal(rpki.NewASPAs(want)) {
		l.t.Fatalf("ASPAs %v, want %v\n%s", slices.Collect(l.aspas.All()), want, l.log.String())
	}
}

// asked fails unless a cache was asked this since.
func (l *lab) asked(c *fakecache.Cache, want ...string) {
	l.t.Helper()
	synctest.Wait()
	if got := c.Asked(); !slices.Equal(got, want) {
		l.t.Fatalf("asked %q, want %q", got, want)
	}
}

// logged counts the lines with a text.
func (l *lab) logged(text string) int {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.log.String(), text)
}

// pass lets time pass.
func pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

func TestUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := l.cache(0, 7)
		defer c.Close()
		c.Set(v1, v2)
		l.s.Set([]Source{source0()})
		l.has(v1, v2)
		l.asked(c, "v2 reset", "v1 reset") // by the cache's own report, at once
		pass(time.Second)
		c.Set(v1, v3) // which it notifies of
		l.has(v1, v3)
		l.asked(c, "v1 serial 7/1")
		pass(time.Hour - time.Second)
		pass(time.Second)
		l.asked(c, "v1 serial 7/2") // Refresh
		c.Forget()
		pass(time.Second)
		c.Set(v2, v3, v4)
		l.has(v2, v3, v4)
		l.asked(c, "v1 serial 7/2")
		if want := []int{2, 2, 3}; !slices.Equal(l.published, want) {
			t.Errorf("published changes of %v VRPs, want %v", l.published, want)
		}
		st := l.s.Status()
		if len(st) != 1 || st[0].State != Up || st[0].Session != 7 || st[0].Serial != 3 || st[0].Version != 1 || st[0].Set.Len() != 3 ||
			st[0].Expires.Sub(st[0].Updated) != 2*time.Hour {
			t.Errorf("status %+v", st)
		}
		l.s.Set(nil)
		pass(uniteEvery)
		l.has()
	})
}

// TestNewsWhileAsked: a cache that has news before its answer has come to its end is
// asked again at once.
func TestNewsWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := l.cache(0, 7)
		defer c.Close()
		c.Set(v1)
		l.s.Set([]Source{source0()})
		l.has(v1)
		pass(time.Second)
		c.Asked()
		first := true
		c.Answer(func(uint8) []byte {
			if !first {
				return nil
			}
			first = false
			return slices.Concat([]byte{1, 3, 0, 7, 0, 0, 0, 8}, fakecache.Prefix(1, v2, true), []byte{1, 0, 0, 7, 0, 0, 0, 12, 0, 0, 0, 3},
				[]byte{1, 7, 0, 7, 0, 0, 0, 24, 0, 0, 0, 2, 0, 0, 14, 16, 0, 0, 2, 88, 0, 0, 28, 32})
		})
		c.Set(v1, v2)
		l.asked(c, "v1 serial 7/1", "v1 serial 7/2")
	})
}

// TestCacheReset: a cache that has forgotten what we know.
func TestCacheReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := l.cache(0, 7)
		defer c.Close()
		c.Set(v1)
		l.s.Set([]Source{source0()})
		l.has(v1)
		pass(time.Second)
		c.Drop()
		c.Set(v2)
		c.Forget()
		l.asked(c, "v2 reset", "v1 reset")
		l.has(v1) // while the connection is down
		pass(5 * time.Second)
		l.asked(c, "v1 serial 7/1", "v1 reset")
		l.has(v2)
		if want := []int{1, 2}; !slices.Equal(l.published, want) {
			t.Errorf("published changes of %v VRPs, want %v", l.published, want)
		}
	})
}

// TestNewSession: what an earlier session has said stays until the new one's data
// are complete, and then only the difference counts.
func TestNewSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := l.cache(0, 7)
		defer c.Close()
		c.Set(v1, v2, v3)
		l.s.Set([]Source{source0()})
		l.has(v1, v2, v3)
		pass(time.Second)
		c.Restart(8)
		c.Asked()
		half := append([]byte{1, 3, 0, 8, 0, 0, 0, 8}, fakecache.Prefix(1, v4, true)...)
		c.Answer(func(uint8) []byte { return half })
		c.Set(v1, v3, v4) // notifies with another session
		pass(30 * time.Second)
		l.asked(c, "v1 reset")
		l.has(v1, v2, v3) // half of the new data have come
		c.Answer(nil)
		c.Drop()
		pass(5 * time.Second)
		l.has(v1, v3, v4)
		if want := []int{3, 2}; !slices.Equal(l.published, want) {
			t.Errorf("published changes of %v VRPs, want %v", l.published, want)
		}
	})
}

// TestSessionRefused: a cache that has begun another session, and answers with an
// error to what continues the old one.
func TestSessionRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := l.cache(0, 7)
		defer c.Close()
		c.Set(v1)
		l.s.Set([]Source{source0()})
		l.has(v1)
		pass(time.Second)
		c.Asked()
		c.Drop()
		c.Restart(8)
		c.Set(v2)
		c.Answer(func(kind uint8) []byte {
			if kind == 1 {
				return []byte{1, 10, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0} // corrupt data
			}
			return nil
		})
		pass(20 * time.Second)
		l.asked(c, "v1 serial 7/1", "v2 reset", "v1 reset")
		l.has(v2)
	})
}

// TestConnected: of a cache that answers, people are not told that it cannot be
// reached.
func TestConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		l.s.Set([]Source{source0()})
		pass(time.Second)
		if st := l.s.Status()[0]; st.State != Down || !strings.Contains(st.Error, "refused") {
			t.Errorf("without a cache: %+v", st)
		}
		ln, err := l.net.Listen(cacheAt[0])
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		pass(firstRetry)
		if st := l.s.Status()[0]; st.State != Waiting || st.Error != "" {
			t.Errorf("with a silent one: %+v", st)
		}
	})
}

func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := l.cache(0, 7)
		c.Set(v1)
		l.s.Set([]Source{source0()})
		l.has(v1)
		pass(10 * time.Minute)
		c.Close()
		pass(2*time.Hour - 10*time.Minute - time.Second)
		l.has(v1)
		if st := l.s.Status()[0]; st.State != Down || !st.Known || !strings.Contains(st.Error, "refused") {
			t.Errorf("status %+v", st)
		}
		pass(time.Second)
		l.has()
		if l.logged("rpki-source-expired") != 1 || l.logged("rpki-source-down") != 2 { // closed, then refused
			t.Errorf("the log:\n%s", l.log.String())
		}
		if st := l.s.Status()[0]; st.Known || !st.Expires.IsZero() {
			t.Errorf("status %+v", st)
		}
		again := fakecache.New(9)
		again.Set(v1, v2)
		l.serve(0, again)
		defer again.Close()
		pass(10 * time.Minute)
		l.has(v1, v2)
	})
}

// TestExpireConnected: a cache that stays connected and answers no more.
func TestExpireConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := l.cache(0, 7)
		defer c.Close()
		c.Set(v1)
		s := source0()
		s.Refresh, s.Expire = 24*time.Hour, 10*time.Minute
		l.s.Set([]Source{s})
		l.has(v1)
		c.Asked()
		pass(5 * time.Minute)
		l.asked(c, "v1 serial 7/1") // before it expires, whatever Refresh says
		c.Answer(func(uint8) []byte { return []byte{} })
		pass(15*time.Minute - time.Second)
		l.has()
		if l.logged("has not answered") == 0 {
			t.Errorf("the log:\n%s", l.log.String())
		}
	})
}

func TestVersions(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*fakecache.Cache)
		want []string
	}{
		"2":               {func(c *fakecache.Cache) { c.Newest = 2 }, []string{"v2 reset"}},
		"1 by report":     {func(c *fakecache.Cache) {}, []string{"v2 reset", "v1 reset"}},
		"0 by report":     {func(c *fakecache.Cache) { c.Newest = 0 }, []string{"v2 reset", "v0 reset"}},
		"0 by answer":     {func(c *fakecache.Cache) { c.Newest, c.Downgrade = 0, true }, []string{"v2 reset"}},
		"0 without words": {func(c *fakecache.Cache) { c.Newest, c.Mute = 0, true }, []string{"v2 reset", "v1 reset", "v0 reset"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				defer l.s.Close()
				cache := fakecache.New(7)
				c.set(cache)
				cache.Set(v1, v3)
				l.serve(0, cache)
				defer cache.Close()
				l.s.Set([]Source{source0()})
				l.has(v1, v3)
				l.asked(cache, c.want...)
				pass(time.Second)
				cache.Set(v2)
				l.has(v2)
				if asked := cache.Asked(); len(asked) != 1 || !strings.Contains(asked[0], "serial 7/1") {
					t.Errorf("asked %q", asked)
				}
			})
		})
	}
}

// TestNoData: a cache that has just started.
func TestNoData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := l.cache(0, 7)
		defer c.Close()
		l.s.Set([]Source{source0()})
		l.has()
		pass(30 * time.Second)
		if st := l.s.Status()[0]; st.State != Waiting || st.Error == "" {
			t.Errorf("status %+v", st)
		}
		c.Asked()
		c.Set(v1)
		l.has(v1)
		l.asked(c, "v1 reset")
	})
}

// TestUnion: of two caches that have the same VRP, one may go.
func TestUnion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		a, b := l.cache(0, 1), l.cache(1, 2)
		defer a.Close()
		defer b.Close()
		a.Set(v1, v2)
		b.Set(v2, v3)
		other := Source{Name: "b", Address: cacheAt[1]}
		l.s.Set([]Source{source0(), other})
		pass(time.Second)
		l.has(v1, v2, v3)
		a.Set(v1)
		pass(time.Second)
		l.has(v1, v2, v3)
		l.s.Set([]Source{other})
		pass(time.Second)
		l.has(v2, v3)
		// Other timers, and the same cache: it goes on with what it knows.
		b.Asked()
		other.Refresh = time.Minute
		l.s.Set([]Source{other})
		pass(time.Second)
		l.has(v2, v3)
		l.asked(b, "v1 serial 2/1")
	})
}

// TestBadCaches: what a cache must not say ends the connection with a report, and
// what is known stays.
func TestBadCaches(t *testing.T) {
	response := []byte{1, 3, 0, 7, 0, 0, 0, 8}
	end := []byte{1, 7, 0, 7, 0, 0, 0, 24, 0, 0, 0, 9, 0, 0, 14, 16, 0, 0, 2, 88, 0, 0, 28, 32}
	join := slices.Concat[[]byte]
	for name, c := range map[string]struct {
		say    []byte
		report string // "": it just ends
	}{
		"short PDU":           {[]byte{1, 3, 0, 7, 0, 0, 0, 7}, "v1 error 0"},
		"long PDU":            {[]byte{1, 3, 0, 7, 1, 0, 0, 0}, "v1 error 0"},
		"longer response":     {[]byte{1, 3, 0, 7, 0, 0, 0, 9, 0}, "v1 error 0"},
		"unknown type":        {[]byte{1, 12, 0, 7, 0, 0, 0, 8}, "v1 error 5"},
		"type 5":              {[]byte{1, 5, 0, 7, 0, 0, 0, 8}, "v1 error 5"},
		"other version":       {[]byte{0, 3, 0, 7, 0, 0, 0, 8}, "v1 error 8"},
		"newer version":       {[]byte{2, 3, 0, 7, 0, 0, 0, 8}, "v1 error 8"},
		"query":               {[]byte{1, 2, 0, 0, 0, 0, 0, 8}, "v1 error 3"},
		"prefix by itself":    {fakecache.Prefix(1, v2, true), "v1 error 0"},
		"end by itself":       {end, "v1 error 0"},
		"two responses":       {join(response, response), "v1 error 0"},
		"too long a prefix":   {join(response, fakecache.Prefix(1, rpki.VRP{Prefix: prefix.Prefix{Bits: 33}, MaxLen: 33}, true)), "v1 error 0"},
		"bits behind":         {join(response, fakecache.Prefix(1, rpki.VRP{Prefix: prefix.Prefix{Hi: 1 << 40, Bits: 8}, MaxLen: 8}, true)), "v1 error 0"},
		"too short a maximum": {join(response, fakecache.Prefix(1, rpki.VRP{Prefix: v2.Prefix, MaxLen: 23}, true)), "v1 error 0"},
		"announced twice":     {join(response, fakecache.Prefix(1, v1, true), end), "v1 error 7"},
		"unknown withdrawn":   {join(response, fakecache.Prefix(1, v2, false), end), "v1 error 6"},
		"providers in 1":      {join(response, []byte{1, 11, 1, 0, 0, 0, 0, 12, 0, 0, 0, 1}), "v1 error 0"},
		"short key":           {join(response, []byte{1, 9, 1, 0, 0, 0, 0, 12, 0, 0, 0, 1}), "v1 error 0"},
		"error":               {[]byte{1, 10, 0, 1, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0, 2, 'h', 'm'}, ""},
		"broken error":        {[]byte{1, 10, 0, 1, 0, 0, 0, 18, 0, 0, 0, 9, 0, 0, 0, 2, 'h', 'm'}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				defer l.s.Close()
				cache := l.cache(0, 7)
				defer cache.Close()
				cache.Set(v1, v3)
				l.s.Set([]Source{source0()})
				l.has(v1, v3)
				cache.Asked()
				cache.Answer(func(uint8) []byte { return c.say })
				pass(time.Hour) // Refresh
				asked := cache.Asked()
				if len(asked) == 0 || asked[0] != "v1 serial 7/1" || c.report != "" && (len(asked) < 2 || asked[1] != c.report) {
					t.Errorf("asked %q, want report %q", asked, c.report)
				}
				l.has(v1, v3)
				if l.logged("rpki-source-down") == 0 {
					t.Errorf("the log:\n%s", l.log.String())
				}
				cache.Answer(nil)
				cache.Drop()
				pass(10 * time.Minute)
				cache.Set(v2)
				l.has(v2)
			})
		})
	}
}

// TestFlapping: a cache that comes and goes is asked less and less often, and no
// update is lost.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := l.cache(0, 7)
		defer c.Close()
		l.s.Set([]Source{source0()})
		for i := range uint32(200) {
			c.Set(v1, vrpOf("192.0.2.0/24", 24, i))
			c.Drop()
			pass(time.Second)
		}
		if n := len(c.Asked()); n > 25 {
			t.Errorf("asked %d times in 200 s", n)
		}
		pass(10 * time.Minute)
		l.has(v1, vrpOf("192.0.2.0/24", 24, 199))
	})
}

// TestASPAs: providers come by version 2 and with files, and those of all sources
// count.
func TestASPAs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aspas.json")
	if err := os.WriteFile(path, []byte(`{"roas": [], "aspas": [{"customer_asid": 1, "providers": [4]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		c := fakecache.New(7)
		c.Newest = 2
		a1, a2 := rpki.ASPA{Customer: 1, Providers: []uint32{2, 3}}, rpki.ASPA{Customer: 5, Providers: []uint32{0}}
		c.SetASPAs(a1, a2)
		c.Set(v1)
		l.serve(0, c)
		l.s.Set([]Source{source0()})
		l.has(v1)
		l.hasASPAs(a1, a2)
		if st := l.s.Status()[0]; st.ASPAs.Len() != 2 || st.Version != 2 {
			t.Errorf("status %+v", st)
		}
		pass(time.Second)
		c.SetASPAs(rpki.ASPA{Customer: 1, Providers: []uint32{3}})
		c.Set(v1)
		l.hasASPAs(rpki.ASPA{Customer: 1, Providers: []uint32{3}})
		if want := []int{1, 0}; !slices.Equal(l.published, want) {
			t.Errorf("published changes of %v VRPs, want %v", l.published, want)
		}
		l.s.Set([]Source{source0(), {Name: "f", Path: path}})
		pass(time.Second)
		l.hasASPAs(rpki.ASPA{Customer: 1, Providers: []uint32{3, 4}})
		c.Close()
		pass(2 * time.Hour)
		l.hasASPAs(rpki.ASPA{Customer: 1, Providers: []uint32{4}})
		older := fakecache.New(8) // speaks version 1
		older.SetASPAs(a1)
		older.Set(v1)
		l.serve(0, older)
		defer older.Close()
		pass(10 * time.Minute)
		l.has(v1)
		l.hasASPAs(rpki.ASPA{Customer: 1, Providers: []uint32{4}})
	})
}

// TestBadASPAs: what version 2 does not allow ends the connection with a report.
// ASPAs of its earlier drafts do not count.
func TestBadASPAs(t *testing.T) {
	older := []byte{2, 11, 0, 0, 0, 0, 0, 20, 1, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 6} // announced, for IPv4, one provider
	for name, c := range map[string]struct {
		say  []byte
		want string
	}{
		"no providers":         {[]byte{2, 11, 1, 0, 0, 0, 0, 12, 0, 0, 0, 1}, "v2 error 9"},
		"order":                {fakecache.ASPA(1, 3, 2), "v2 error 9"},
		"twice the same":       {fakecache.ASPA(1, 3, 3), "v2 error 9"},
		"none and some":        {fakecache.ASPA(1, 0, 3), "v2 error 9"},
		"flags":                {[]byte{2, 11, 2, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 2}, "v2 error 0"},
		"length":               {[]byte{2, 11, 1, 0, 0, 0, 0, 14, 0, 0, 0, 1, 0, 0}, "v2 error 0"},
		"unknown withdrawn":    {fakecache.ASPA(9), "v2 error 6"},
		"of an earlier draft":  {older, ""},
		"withdrawn and again":  {slices.Concat(fakecache.ASPA(1), fakecache.ASPA(1, 2)), ""},
		"another in its place": {slices.Concat(fakecache.ASPA(1, 7), fakecache.ASPA(1, 2)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				defer l.s.Close()
				cache := fakecache.New(7)
				cache.Newest = 2
				defer cache.Close()
				known := rpki.ASPA{Customer: 1, Providers: []uint32{2}}
				cache.SetASPAs(known)
				cache.Set(v1)
				l.serve(0, cache)
				l.s.Set([]Source{source0()})
				l.hasASPAs(known)
				cache.Asked()
				cache.Answer(func(uint8) []byte {
					return slices.Concat([]byte{2, 3, 0, 7, 0, 0, 0, 8}, c.say,
						[]byte{2, 7, 0, 7, 0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 2, 88, 0, 0, 28, 32})
				})
				pass(time.Hour) // Refresh
				asked := append(cache.Asked(), "")
				if asked[0] != "v2 serial 7/1" || asked[1] != c.want {
					t.Errorf("asked %q, want report %q", asked, c.want)
				}
				l.hasASPAs(known)
			})
		})
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vrps.json")
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.s.Close()
		stamp := time.Now()
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			stamp = stamp.Add(time.Second)
			if err := os.Chtimes(path, stamp, stamp); err != nil {
				t.Fatal(err)
			}
		}
		s := Source{Name: "f", Path: path}
		l.s.Set([]Source{s})
		pass(time.Second)
		if st := l.s.Status()[0]; st.State != Down || !strings.Contains(st.Error, "no such file") {
			t.Errorf("status %+v", st)
		}
		write(`{"metadata": {"roas": [1, {"x": []}]}, "roas": [
			{"asn": "AS64496", "prefix": "10.0.0.0/8", "maxLength": 16, "ta": "x"},
			{"asn": 64497, "prefix": "192.0.2.0/24"}]}`)
		pass(lookEvery)
		l.has(v1, v2)
		write("{\"roas\": [\n {\"asn\": 1, \"prefix\": \"10.0.0.1/8\"}\n]}")
		pass(lookEvery)
		l.has(v1, v2)
		if st := l.s.Status()[0]; st.State != Down || !st.Known || !strings.Contains(st.Error, path+":2 (byte ") {
			t.Errorf("status %+v", st)
		}
		if l.logged("rpki-source-down") != 2 {
			t.Errorf("the log:\n%s", l.log.String())
		}
		write(`{"roas": [{"asn": 0, "prefix": "10.0.0.0/8", "maxLength": 8}]}`)
		l.s.Set([]Source{s}) // a reload looks at once
		l.has(v4)
		s.Expire = 10 * time.Minute
		l.s.Set([]Source{s})
		pass(9 * time.Minute)
		l.has(v4)
		pass(time.Minute + lookEvery)
		l.has()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		pass(lookEvery)
		if l.logged("rpki-source-expired") != 1 {
			t.Errorf("the log:\n%s", l.log.String())
		}
	})
}

// FuzzMachine: whatever a cache says, nothing but errors comes of it, and a report
// can be read.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{1, 3, 0, 7, 0, 0, 0, 8}, uint8(1), false)
	f.Add(slices.Concat([]byte{1, 3, 0, 7, 0, 0, 0, 8}, fakecache.Prefix(1, v1, true), fakecache.Prefix(1, v3, true),
		[]byte{1, 7, 0, 7, 0, 0, 0, 24, 0, 0, 0, 9, 0, 0, 14, 16, 0, 0, 2, 88, 0, 0, 28, 32}), uint8(1), true)
	f.Add(slices.Concat([]byte{2, 3, 0, 7, 0, 0, 0, 8}, fakecache.ASPA(1, 2, 3), fakecache.ASPA(1),
		[]byte{2, 7, 0, 7, 0, 0, 0, 24, 0, 0, 0, 9, 0, 0, 14, 16, 0, 0, 2, 88, 0, 0, 28, 32}), uint8(2), true)
	f.Add([]byte{2, 10, 0, 4, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(2), false)
	f.Add(slices.Concat([]byte{0, 3, 0, 7, 0, 0, 0, 8}, []byte{0, 7, 0, 7, 0, 0, 0, 12, 0, 0, 0, 9}), uint8(2), false)
	f.Fuzz(func(t *testing.T, b []byte, version uint8, serial bool) {
		m := machine{at: version % (newest + 1)}
		if serial {
			m.known = known{set: &rpki.Set{}, version: m.at, session: 7, serial: 8, continues: true}
		}
		m.query()
		for len(b) >= headerLen {
			n, err := header(b)
			if err != nil || n > len(b) {
				return
			}
			_, _, err = m.take(parse(b[:n]))
			if wrong, ok := err.(*protocolError); ok {
				report := parse(appendError(nil, m.at, wrong))
				if text, ok := readError(report); !ok || text != wrong.text {
					t.Fatalf("the report of %v cannot be read", wrong)
				}
			}
			if err != nil && err != errNoData {
				return
			}
			b = b[n:]
		}
	})
}

func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dial(t.Context(), netip.MustParseAddr("127.0.0.2"), l.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != netip.MustParseAddr("127.0.0.2") {
		t.Errorf("from %v", got)
	}
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Error(err)
	}
}

// TestUnreadable: a file that may not be read is mended by chmod, which a look at
// its time does not show, or by a restart.
func TestUnreadable(t *testing.T) {
	err := unreadable(&fs.PathError{Op: "open", Path: "vrps.json", Err: syscall.EACCES})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "restart holdfast") {
		t.Error(err)
	}
	if err := unreadable(fs.ErrNotExist); err != fs.ErrNotExist {
		t.Error(err)
	}
}
