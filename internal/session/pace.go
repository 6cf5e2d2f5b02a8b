package session

import (
	"net/netip"
	"sync"
	"time"
)

// pace bounds how often connections are looked at, from one address and in all:
// so many at once, and then so many in a time. What is too much is closed
// without a look.
type pace struct {
	mu   sync.Mutex
	all  bucket
	each map[netip.Addr]bucket
}

var (
	paceOfAll  = rate{burst: 1000, every: 5 * time.Millisecond}
	paceOfEach = rate{burst: 10, every: 2 * time.Second}
)

// maxPaced is how many addresses are remembered.
const maxPaced = 4096

type rate struct {
	burst int
	every time.Duration
}

// bucket is when the burst would be whole again; zero is a whole one.
type bucket time.Time

// take reports whether one more is within the rate, and counts it if so.
func (b *bucket) take(r rate, now time.Time) bool {
	full := time.Time(*b)
	if full.Before(now) {
		full = now
	}
	full = full.Add(r.every)
	if full.Sub(now) > time.Duration(r.burst)*r.every {
		return false
	}
	*b = bucket(full)
	return true
}

func (p *pace) allow(from netip.Addr, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.each == nil {
		p.each = map[netip.Addr]bucket{}
	}
	if len(p.each) >= maxPaced {
		for a, b := range p.each {
			if time.Time(b).Before(now) {
				delete(p.each, a)
			}
		}
		if len(p.each) >= maxPaced {
			clear(p.each) // the rate of all holds in any case
		}
	}
	b := p.each[from]
	ok := b.take(paceOfEach, now) && p.all.take(paceOfAll, now)
	p.each[from] = b
	return ok
}
