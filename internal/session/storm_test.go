package session

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/testkit/memnet"
)

// TestStorm has operators, reloads, lost connections, cut links and neighbors
// that come and go all at once. Whatever happens, calls for a neighbor come as
// Up, Deliver…, Down (table sees to it), and everything ends.
func TestStorm(t *testing.T) {
	for seed := range uint64(60) {
		bubble(t, func(t *testing.T) { storm(t, seed) })
	}
}

func storm(t *testing.T, seed uint64) {
	n := memnet.New()
	a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
	a.Manager.random, b.Manager.random = rand.New(rand.NewPCG(seed, 1)).Float64, rand.New(rand.NewPCG(seed, 2)).Float64
	set(t, a, settings(addrA))
	set(t, b, settings(addrB))
	var all sync.WaitGroup
	chaos := func(number uint64, do func(r *rand.Rand)) {
		r := rand.New(rand.NewPCG(seed, number))
		all.Go(func() {
			for range 40 {
				time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond) // of the bubble's clock
				do(r)
			}
		})
	}
	for i, x := range []struct {
		r  *router
		me netip.Addr
	}{{a, addrA}, {b, addrB}} {
		number := uint64(10 * (i + 1))
		chaos(number+1, func(r *rand.Rand) { // reloads
			s := settings(x.me)
			s.Machine.HoldTime = time.Duration(3+r.IntN(60)) * time.Second
			s.Machine.Passive = i == 0 && r.IntN(4) == 0
			s.Shutdown = r.IntN(6) == 0
			switch r.IntN(8) {
			case 0:
				x.r.Remove(neighborID)
			case 1:
				if err := x.r.Listen(nil); err != nil {
					t.Error(err)
				}
			case 2:
				if err := x.r.Listen([]netip.AddrPort{netip.AddrPortFrom(x.me, 179)}); err != nil {
					t.Error(err)
				}
			default:
				if err := x.r.Set(s); err != nil {
					t.Error(err)
				}
			}
		})
		chaos(number+2, func(r *rand.Rand) { // operators
			switch r.IntN(5) {
			case 0, 1:
				x.r.Reset(neighborID, fsm.AdminReset(""))
			case 2:
				x.r.Refresh(neighborID, prefix.IPv4)
			default:
				x.r.Enable(neighborID)
			}
			x.r.Status(neighborID)
		})
		chaos(number+3, func(r *rand.Rand) { // routes
			out, up := x.r.routes.established()
			if !up {
				return
			}
			p := packetOf(update(1), update(2))
			for range r.IntN(2 * QueueSize) {
				out.Send(p, nil)
			}
			p.Release()
			if r.IntN(5) == 0 {
				out.Close(Close{Code: 6, Subcode: 1, After: time.Duration(r.IntN(10)) * time.Second})
			}
		})
	}
	chaos(3, func(r *rand.Rand) { // the network
		switch r.IntN(4) {
		case 0:
			n.Reset(addrA, addrB)
		case 1:
			n.Cut(addrA, addrB, true)
		default:
			n.Cut(addrA, addrB, false)
			n.Delay(addrA, addrB, time.Duration(r.IntN(300))*time.Millisecond)
		}
	})
	chaos(4, func(r *rand.Rand) { // who connects and says nothing, or something
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if c, err := n.Dial(ctx, addrB, portA); err == nil {
			c.Write(openMessage(uint16(3 + r.IntN(90)))[:r.IntN(29)])
			if r.IntN(2) == 0 {
				c.Close()
			} else {
				time.AfterFunc(time.Minute, func() { c.Close() })
			}
		}
	})
	all.Wait()

	// After the storm they find each other.
	n.Cut(addrA, addrB, false)
	for i, r := range []*router{a, b} {
		me := []netip.Addr{addrA, addrB}[i]
		if err := r.Listen([]netip.AddrPort{netip.AddrPortFrom(me, 179)}); err != nil {
			t.Error(err)
		}
		set(t, r, settings(me))
		r.Enable(neighborID)
	}
	wait(5 * time.Minute)
	for _, r := range []*router{a, b} {
		if s := r.status(t); s.State != fsm.EstablishedState {
			t.Errorf("seed %d: after the storm: %+v", seed, s)
		}
	}
	var closing sync.WaitGroup
	for _, r := range []*router{a, b} {
		closing.Go(func() { r.Close("") })
		closing.Go(func() { r.Remove(packet.ID(neighborID)) })
		closing.Go(func() { r.Set(settings(addrA)) })
	}
	closing.Wait()
}
