package demo

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The configurations are whole as they stand in the repository; only addresses
// and ports change if others use them.
//
//go:embed config/*.hcl
var configs embed.FS

const (
	network   = "127.64.0."
	bgpPort   = 10179
	cablePort = 10180
)

// Hosts of the network: the last byte of addresses in the configurations.
const (
	hostEdge      = 1
	hostTransitA  = 11
	hostTransitB  = 12
	hostTableIPv4 = 21
	hostTableIPv6 = 22
	hostClaim     = 254 // of no router: who listens there has the network
)

// place is where the demo runs: a directory, a network of loopback addresses
// and two ports.
type place struct {
	dir     string
	network string
	port    uint16 // of the routers; the next one is that of the cable
	claim   net.Listener
}

// newPlace finds a free network and writes the files of the demo.
func newPlace() (p *place, err error) {
	p = &place{}
	if err := p.findNetwork(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.remove())
		}
	}()
	if p.dir, err = makeDir(); err != nil {
		return nil, err
	}
	return p, p.write()
}

// makeDir makes a directory with a short name, because people type it and
// because the address of a socket has room for 108 bytes.
func makeDir() (string, error) {
	parent := os.TempDir()
	if len(parent) > 80 {
		parent = "/tmp"
	}
	for n := 1; ; n++ {
		dir := filepath.Join(parent, "holdfast-demo")
		if n > 1 {
			dir += "-" + strconv.Itoa(n)
		}
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrExist) || n == 1000 {
			return "", fmt.Errorf("cannot make a directory for the demo: %w", err)
		}
	}
}

// findNetwork looks for a network in which nobody uses our addresses. Other
// demos are kept out by a socket that stays open.
func (p *place) findNetwork() error {
	var last error
	for port := uint16(bgpPort); port < bgpPort+1000; port += 100 {
		for third := range 16 {
			p.network, p.port = strings.TrimSuffix(network, "0.")+strconv.Itoa(third)+".", port
			claim, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(p.at(hostClaim, 0)))
			if err != nil {
				last = err
				continue
			}
			if last = p.free(); last == nil {
				p.claim = claim
				return nil
			}
			claim.Close()
		}
	}
	return fmt.Errorf("cannot find free ports on loopback addresses like %s1: %w", network, last)
}

// free reports whether the routers can listen.
func (p *place) free() error {
	for _, at := range []netip.AddrPort{p.at(hostEdge, 0), p.at(hostTransitA, 0), p.at(hostTransitB, 0), p.at(hostTransitA, 1)} {
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
		if err != nil {
			return err
		}
		l.Close()
	}
	return nil
}

// at is a host with the port of the routers, or one behind it.
func (p *place) at(host int, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(p.network+strconv.Itoa(host)), p.port+port)
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

const tableName = "table.mrt.gz"

// write writes the configurations and the table.
func (p *place) write() error {
	replacer := strings.NewReplacer(network, p.network,
		strconv.Itoa(bgpPort), strconv.Itoa(int(p.port)), strconv.Itoa(cablePort), strconv.Itoa(int(p.port)+1))
	all, err := configs.ReadDir("config")
	if err != nil {
		return err
	}
	for _, f := range all {
		text, err := configs.ReadFile("config/" + f.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(p.path(f.Name()), []byte(replacer.Replace(string(text))), 0o600); err != nil {
			return fmt.Errorf("cannot write a configuration: %w", err)
		}
	}
	routes, err := io.ReadAll(Table())
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.path(tableName), routes, 0o600); err != nil {
		return fmt.Errorf("cannot write the table: %w", err)
	}
	return nil
}

// remove gives everything back.
func (p *place) remove() error {
	p.claim.Close()
	if p.dir == "" {
		return nil
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("cannot remove the files of the demo: %w", err)
	}
	return nil
}
