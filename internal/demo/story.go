package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/prefix"
	"holdfast/internal/view"
)

// story is what happens, step by step, and what is remembered of it.
type story struct {
	*lab
	*teller
	Options
	best  [2]uint64 // of the edge, through transit-a and transit-b
	total uint64    // routes that the customer has from the edge
}

// The routers of the other side, as configured.
var transits = [2]string{"transit-a", "transit-b"}

// Paths through the transits, as the customer has them.
const throughA, throughB = "64500 64501 .*", "64500 64502 .*"

const explained, announced = "8.8.8.0/24", "203.0.113.0/24"

// load starts the transits and plays them the table.
func (s *story) load() error {
	s.printf(`%s: four BGP routers on loopback addresses, in one process.

     transit-a AS 64501 ──┐
                          ├── edge AS 64500 ──── customer AS 64510
     transit-b AS 64502 ──┘
`, s.bold("holdfast demo"))
	s.heading("Two transits load an excerpt of a real table (RouteViews, 2014 and 2015).")
	if err := s.cable.plug(); err != nil {
		return err
	}
	for _, t := range transits {
		if err := s.lab.start(t, true); err != nil {
			return err
		}
	}
	began := time.Now()
	for _, to := range []int{hostTransitA, hostTransitB} {
		s.feed(hostTableIPv4, to, prefix.IPv4)
		s.feed(hostTableIPv6, to, prefix.IPv6)
	}
	for _, t := range transits {
		var has [2]uint64
		err := s.until(t+" to load the table", func(ctx context.Context) (bool, error) {
			for i, from := range []string{"table-ipv4", "table-ipv6"} {
				m, err := s.neighbor(ctx, t, from)
				if err != nil || !loaded(m.Neighbor) {
					return false, err
				}
				has[i] = m.Neighbor.Families[0].Accepted
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		s.after(t+" has the table", time.Since(began), count(has[0])+" IPv4 and "+count(has[1])+" IPv6 routes")
	}
	return nil
}

// start starts the edge and the customer, and waits until all routes are there.
func (s *story) start() error {
	s.heading("The edge starts, and its customer. The edge takes both tables and sends on the best routes.")
	began := time.Now()
	if err := s.lab.start("edge", true); err != nil {
		return err
	}
	if err := s.lab.start("customer", false); err != nil {
		return err
	}
	var received, refused uint64
	var up time.Time
	err := s.until("the edge to have both tables", func(ctx context.Context) (bool, error) {
		received, refused = 0, 0
		for _, t := range transits {
			m, err := s.neighbor(ctx, "edge", t)
			if err != nil || !loaded(m.Neighbor) {
				return false, err
			}
			if since := m.Neighbor.Since.AsTime(); since.After(up) {
				up = since
			}
			for _, f := range m.Neighbor.Families {
				received, refused = received+f.Received, refused+f.Rejected
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	s.after("both sessions up", up.Sub(began), "")
	s.after("both tables in the edge", time.Since(began), count(received)+" routes, "+count(refused)+" refused by policy")
	if err := s.until("the customer to have all routes", s.settled); err != nil {
		return err
	}
	s.after("everything at the customer", time.Since(began), count(s.total)+" routes, the best of each prefix")
	if s.best, err = s.split(s.ctx); err != nil {
		return err
	}
	s.printf("\n")
	for i, t := range transits {
		s.fact("best through "+t, count(s.best[i]), "")
	}
	return nil
}

// settled reports whether the customer has all that the edge has to give.
func (s *story) settled(ctx context.Context) (bool, error) {
	c := s.client["edge"]
	summary, err := c.GetSummary(ctx, connect.NewRequest(&pb.GetSummaryRequest{}))
	if err != nil {
		return false, c.Error(err)
	}
	there, err := s.neighbor(ctx, "edge", "customer")
	if err != nil || !loaded(there.Neighbor) {
		return false, err
	}
	var want uint64
	for _, t := range summary.Msg.Tables {
		want += t.Prefixes
	}
	for _, f := range there.Neighbor.Families {
		want -= f.Accepted // it is not sent its own
	}
	s.total, err = s.count(ctx, "customer", &pb.RouteQuery{Neighbor: "edge"})
	return s.total == want, err
}

// split counts the best routes of the edge by transit.
func (s *story) split(ctx context.Context) (best [2]uint64, err error) {
	for i, t := range transits {
		if best[i], err = s.count(ctx, "edge", &pb.RouteQuery{View: pb.RouteView_ROUTE_VIEW_BEST, Neighbor: t}); err != nil {
			return best, err
		}
	}
	return best, nil
}

// look shows the edge as the command line does.
func (s *story) look() error {
	s.heading("What an operator of the edge sees.")
	c := s.client["edge"]
	s.command("holdfast show neighbors")
	n, err := c.ListNeighbors(s.ctx, connect.NewRequest(&pb.ListNeighborsRequest{}))
	if err != nil {
		return c.Error(err)
	}
	if err := s.view().Neighbors(n.Msg); err != nil {
		return err
	}
	s.printf("\n")
	s.command(fmt.Sprintf("holdfast show routes --origin-as %d", ripe))
	if err := s.routes(ripe); err != nil {
		return err
	}
	s.printf("\n")
	return s.explain()
}

// ripe is the AS of the RIPE NCC.
const ripe = 3333

// routes shows the paths of the edge that come from an AS.
func (s *story) routes(origin uint32) error {
	c := s.client["edge"]
	stream, err := c.ListRoutes(s.ctx, connect.NewRequest(&pb.ListRoutesRequest{Query: &pb.RouteQuery{OriginAsn: &origin}}))
	if err != nil {
		return c.Error(err)
	}
	defer stream.Close()
	list := s.view().Routes(view.RouteColumns{})
	for stream.Receive() {
		for _, r := range stream.Msg().Routes {
			if err := list.Add(r); err != nil {
				return err
			}
		}
	}
	if err := stream.Err(); err != nil {
		return c.Error(err)
	}
	return list.Close()
}

func (s *story) explain() error {
	c := s.client["edge"]
	s.command("holdfast explain " + explained)
	e, err := c.Explain(s.ctx, connect.NewRequest(&pb.ExplainRequest{Prefix: explained}))
	if err != nil {
		return c.Error(err)
	}
	return s.view().Explain(e.Msg)
}

// breaks cuts the cable and looks at the customer.
func (s *story) breaks() error {
	s.heading("The connection to transit-a breaks: a TCP reset, and nobody says goodbye.")
	through, err := s.count(s.ctx, "customer", &pb.RouteQuery{Neighbor: "edge", AsPath: throughA})
	if err != nil {
		return err
	}
	quiet, err := s.updates(s.ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	s.cable.cut()
	looking := s.watch()
	first := time.Duration(0)
	err = s.until("the routes of the customer to move", func(ctx context.Context) (bool, error) {
		if first == 0 {
			n, err := s.updates(ctx)
			if err != nil || n == quiet {
				return false, err
			}
			first = time.Since(began)
		}
		left, err := s.count(ctx, "customer", &pb.RouteQuery{Neighbor: "edge", AsPath: throughA})
		return left == 0, err
	})
	all := time.Since(began)
	looks, fewest := looking()
	if err != nil {
		return err
	}
	moved, err := s.count(s.ctx, "customer", &pb.RouteQuery{Neighbor: "edge", AsPath: throughB})
	if err != nil {
		return err
	}
	now, err := s.count(s.ctx, "customer", &pb.RouteQuery{Neighbor: "edge"})
	if err != nil {
		return err
	}
	lost, err := s.neighbor(s.ctx, "edge", "transit-a")
	if err != nil {
		return err
	}
	reset := lost.Neighbor.LastReset
	s.after("the edge noticed", reset.GetAt().AsTime().Sub(began), reset.GetReason())
	s.after("first change at the customer", first, "")
	s.after("last of "+count(through)+" routes moved", all, count(moved)+" are through transit-b now")
	s.printf("\n")
	s.fact("routes at the customer before", count(s.total), "")
	s.fact("routes at the customer meanwhile", count(fewest), fmt.Sprintf("the fewest, looked at %d times", looks))
	s.fact("routes at the customer now", count(now), "")
	n, err := s.count(s.ctx, "transit-b", &pb.RouteQuery{Prefix: announced, Neighbor: "edge"})
	if err != nil {
		return err
	}
	if fewest != s.total || now != s.total || n != 1 {
		return fmt.Errorf("the customer has %d routes, had %d before and %d meanwhile; transit-b has %d for %s", now, s.total, fewest, n, announced)
	}
	s.printf("\n   transit-b still has the customer's %s: it stays reachable.\n\n", announced)
	return s.explain()
}

// watch counts the routes of the customer again and again, until the function
// that it returns is called: how often it did, and the fewest that it saw.
func (s *story) watch() (end func() (looks int, fewest uint64)) {
	looks, fewest := 0, s.total
	var watching sync.WaitGroup
	quit := make(chan struct{})
	watching.Go(func() {
		for {
			n, err := s.count(s.ctx, "customer", &pb.RouteQuery{Neighbor: "edge"})
			if err != nil {
				return // which the next question tells as well
			}
			looks, fewest = looks+1, min(fewest, n)
			select {
			case <-quit:
				return
			case <-time.After(blink):
			}
		}
	})
	return func() (int, uint64) {
		close(quit)
		watching.Wait()
		return looks, fewest
	}
}

// updates is how many UPDATEs have come to the customer.
func (s *story) updates(ctx context.Context) (uint64, error) {
	m, err := s.neighbor(ctx, "customer", "edge")
	return m.GetDetail().GetCounters().GetIn().GetUpdate(), err
}

// comesBack plugs the cable in again.
func (s *story) comesBack() error {
	s.heading("The connection to transit-a is back.")
	began := time.Now()
	if err := s.cable.plug(); err != nil {
		return err
	}
	var up time.Time
	err := s.until("transit-a to come back", func(ctx context.Context) (bool, error) {
		m, err := s.neighbor(ctx, "edge", "transit-a")
		if err != nil || !loaded(m.Neighbor) {
			return false, err
		}
		up = m.Neighbor.Since.AsTime()
		return true, nil
	})
	if err != nil {
		return err
	}
	before := s.total
	err = s.until("the routes to be as before", func(ctx context.Context) (bool, error) {
		best, err := s.split(ctx)
		if err != nil || best != s.best {
			return false, err
		}
		return s.settled(ctx)
	})
	if err != nil {
		return err
	}
	s.after("session up", up.Sub(began), "idle_hold = \"1s\": the edge waits first")
	s.after("all routes as before", time.Since(began), fmt.Sprintf("%s via transit-a, %s via transit-b", count(s.best[0]), count(s.best[1])))
	if s.total != before {
		return fmt.Errorf("the customer has %d routes, and had %d", s.total, before)
	}
	return nil
}

func count(n uint64) string { return view.Count(n) }
