package radv

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
)

var allNodes, allRouters = netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::2")

var errNone = errors.New("there is no such interface")

// socket is a link of the kernel's.
type socket struct {
	*ndp.Conn
	name  string
	index int
	ra    *ndp.RouterAdvertisement
}

// open opens an interface that has a link-local address and is up.
func open(name string) (link, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, errNone
	}
	if ifi.Flags&net.FlagUp == 0 {
		return nil, errors.New("the interface is down")
	}
	addrs, err := ifi.Addrs()
	if err != nil || !slices.ContainsFunc(addrs, isLinkLocal) {
		return nil, errors.New("the interface has no link-local address")
	}
	// Package net remembers for a minute what number a name has, and there may
	// be another interface of that name since.
	numbered := *ifi
	numbered.Name = strconv.Itoa(ifi.Index)
	c, _, err := ndp.Listen(&numbered, ndp.LinkLocal)
	if err != nil {
		return nil, fmt.Errorf("cannot open a socket: %w", err)
	}
	s := &socket{Conn: c, name: name, index: ifi.Index, ra: &ndp.RouterAdvertisement{}}
	if len(ifi.HardwareAddr) == 6 {
		// FRR makes the neighbor's entry for IPv4 next hops of it.
		s.ra.Options = []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: ifi.HardwareAddr}}
	}
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	filter.Accept(ipv6.ICMPTypeRouterAdvertisement)
	err = errors.Join(c.SetICMPFilter(&filter), c.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagInterface, true),
		c.JoinGroup(allNodes), c.JoinGroup(allRouters))
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("cannot set up a socket: %w", err)
	}
	return s, nil
}

func isLinkLocal(a net.Addr) bool {
	n, ok := a.(*net.IPNet)
	return ok && n.IP.To4() == nil && n.IP.IsLinkLocalUnicast()
}

func (s *socket) receive() (netip.Addr, bool, error) {
	for {
		m, cm, from, err := s.ReadFrom()
		if err != nil {
			return netip.Addr{}, false, err
		}
		// RFC 4861 sections 6.1.1 and 6.1.2: what came from further away, or
		// advertisements from other addresses, are not from a neighbor.
		if cm == nil || cm.HopLimit != ndp.HopLimit || cm.IfIndex != s.index {
			continue
		}
		switch m.(type) {
		case *ndp.RouterAdvertisement:
			if from.IsLinkLocalUnicast() {
				return from.WithZone(s.name), true, nil
			}
		case *ndp.RouterSolicitation:
			return from, false, nil
		}
	}
}

func (s *socket) advertise() error {
	// An interface that is gone takes no packets, but one of its name may be
	// there again.
	if ifi, err := net.InterfaceByName(s.name); err != nil || ifi.Index != s.index {
		return errNone
	}
	return s.send(s.ra, allNodes)
}

func (s *socket) solicit() error { return s.send(&ndp.RouterSolicitation{}, allRouters) }

func (s *socket) send(m ndp.Message, to netip.Addr) error {
	if err := s.WriteTo(m, nil, to); err != nil {
		return fmt.Errorf("cannot send: %w", err)
	}
	return nil
}

func (s *socket) close() { s.Conn.Close() }
