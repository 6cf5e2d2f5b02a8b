// Package replay plays recorded routes to a router, as a neighbor over a real
// BGP session: the table of a dump, packed as a router would send it, or
// recorded updates in their own time.
//
// What is sent is what the dump has, but for what the session itself decides:
// the next hop, AS numbers in front of the path, LOCAL_PREF and its kind, and
// path ids.
//
// Goroutines: Run plays; it owns an encoder, which stays a few chunks ahead,
// and a reader, which drops what the router sends. All end before Run returns.
package replay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Options say what to play to whom.
type Options struct {
	File string // MRT: TABLE_DUMP, TABLE_DUMP_V2, BGP4MP; plain, gzip or bzip2

	To     string     // the router, "ADDRESS" or "ADDRESS:PORT"
	Listen string     // or wait here for it to connect: "ADDRESS" or "ADDRESS:PORT"
	Source netip.Addr // our address with To; invalid lets the system choose

	From     Selection
	Families [prefix.Families]bool // none is all

	LocalAS  uint32     // 0 is the AS of the neighbor whose routes are played
	RouterID netip.Addr // IPv4; invalid is that of the neighbor
	NextHop  NextHop

	// Speed is how many seconds of recorded updates pass in a second. 0 is as
	// fast as the router reads.
	Speed float64
	// HoldOpen keeps the session until ctx is done. Without it the router
	// loses the routes as soon as it has them all.
	HoldOpen bool
}

// NextHop says which next hop routes are announced with. The zero value is our
// own address in the session, where it can be one: not a loopback address, nor
// of the other family. Those routes keep what the dump has.
type NextHop struct {
	Keep bool // what the dump has
	// Addr is a fixed one for a family, where valid. It goes before Keep.
	Addr [prefix.Families]netip.Addr
}

// Phase is what Run is doing.
type Phase uint8

const (
	Inspecting Phase = iota // reads the file, to choose; counts in bytes
	Loading                 // reads the routes of a table; counts in bytes
	Connecting              // nothing to count
	Sending                 // counts in routes of a table, in updates otherwise
	Holding                 // all is sent, the session stays
)

func (p Phase) String() string {
	return [...]string{"inspecting", "loading", "connecting", "sending", "holding"}[p]
}

// Progress is where Run stands. It is reported on the goroutine of Run, often.
type Progress struct {
	Phase       Phase
	Done, Total int64
}

// Summary is what was played.
type Summary struct {
	From      From
	Table     bool   // routes of a table, not updates
	LocalAS   uint32 // of the session
	RemoteAS  uint32
	Announced [prefix.Families]int // routes
	Withdrawn [prefix.Families]int
	Messages  int // UPDATEs sent
	Bytes     int64
	Skipped   int    // paths and messages of the dump that cannot be sent
	Reason    string // of the first of them
	Damaged   int    // records that cannot be read
	Received  int64  // UPDATEs that the router sent
	Notes     []string
	// Elapsed is from the first UPDATE to the last, as the system took them.
	Elapsed time.Duration
}

// Run plays until all is sent, the session ends or ctx is done. The Summary is
// right as far as it goes if there is an error. progress may be nil.
func Run(ctx context.Context, o Options, progress func(Progress)) (Summary, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	if err := o.check(); err != nil {
		return Summary{}, err
	}
	p := player{o: o, progress: progress}
	err := p.prepare(ctx)
	if err == nil {
		err = p.session(ctx, p.o.connect)
	}
	return p.sum, err
}

// check completes and judges the options.
func (o *Options) check() error {
	if o.Families == ([prefix.Families]bool{}) {
		o.Families = [prefix.Families]bool{true, true}
	}
	if o.RouterID.IsValid() && !o.RouterID.Is4() {
		return fmt.Errorf("the router id must look like an IPv4 address, %v does not", o.RouterID)
	}
	if (o.To == "") == (o.Listen == "") {
		return errors.New("give the router's address, or an address to wait for it")
	}
	if o.Speed < 0 {
		return fmt.Errorf("cannot play at a speed of %v", o.Speed)
	}
	for f, a := range o.NextHop.Addr {
		if f := prefix.Family(f); a.IsValid() && a.BitLen() != int(f.MaxBits()) {
			return fmt.Errorf("%v is no next hop for %v routes", a, f)
		}
	}
	o.To, o.Listen = withPort(o.To), withPort(o.Listen)
	return nil
}

// withPort adds the port of BGP to an address or a name without one.
func withPort(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 179).String()
	}
	if s != "" && !strings.Contains(s, ":") {
		return net.JoinHostPort(s, "179")
	}
	return s
}

// cause is an error without the addresses or the file that are said already.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var file *os.PathError
	if errors.As(err, &file) {
		err = file.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}

// connect dials the router, or waits for it.
func (o *Options) connect(ctx context.Context) (net.Conn, error) {
	if o.To != "" {
		d := net.Dialer{Timeout: handshakeTime}
		if o.Source.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.Source, 0))
		}
		c, err := d.DialContext(ctx, "tcp", o.To)
		if err != nil {
			return nil, fmt.Errorf("cannot reach the router at %s: %w", o.To, cause(err))
		}
		return c, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot wait for the router on %s: %w", o.Listen, cause(err))
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	c, err := l.Accept()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot wait for the router: %w", err)
	}
	return c, nil
}

// player is one run.
type player struct {
	o        Options
	progress func(Progress)
	contents Contents
	table    *table // nil for updates
	total    int64  // of the Sending phase
	sum      Summary
}

// prepare reads the file: what it has, and if it has a table, its routes.
func (p *player) prepare(ctx context.Context) error {
	size, err := fileSize(p.o.File)
	if err != nil {
		return err
	}
	reading := func(phase Phase) func(int64) error {
		return func(read int64) error {
			p.progress(Progress{phase, read, size})
			return ctx.Err()
		}
	}
	if p.contents, err = Inspect(p.o.File, p.o.Families, reading(Inspecting)); err != nil {
		return err
	}
	from, err := p.contents.Choose(p.o.From)
	if err != nil {
		return err
	}
	p.sum.From, p.sum.Table, p.sum.Damaged = from, p.contents.Table, p.contents.Damaged
	if p.contents.Damaged > 0 {
		p.note("%d records are damaged, the first: %v", p.contents.Damaged, p.contents.Complain)
	}
	if p.sum.LocalAS = p.o.LocalAS; p.sum.LocalAS == 0 {
		p.sum.LocalAS = from.AS
	}
	if p.sum.LocalAS == 0 {
		return errors.New("the dump does not know the neighbor's AS number: give one")
	}
	if p.contents.Table {
		if p.table, err = load(p.o.File, p.o.From, from, p.o.Families, reading(Loading)); err != nil {
			return err
		}
		p.total = int64(len(p.table.routes))
		return nil
	}
	p.total = int64(from.Updates)
	if p.o.From.All {
		p.total = int64(p.contents.messages)
	}
	return nil
}

func (p *player) note(format string, args ...any) {
	p.sum.Notes = append(p.sum.Notes, fmt.Sprintf(format, args...))
}

// open is the OPEN that we send.
func (p *player) open() wire.Open {
	from := &p.sum.From
	id := binary.BigEndian.Uint32(from.ID[:])
	switch {
	case p.o.RouterID.IsValid():
		b := p.o.RouterID.As4()
		id = binary.BigEndian.Uint32(b[:])
	case id == 0 && from.Addr.Is4():
		b := from.Addr.As4()
		id = binary.BigEndian.Uint32(b[:])
	case id == 0:
		id = p.sum.LocalAS // RFC 6286: any number will do
	}
	o := wire.Open{ASN: p.sum.LocalAS, HoldTime: uint16(proposedHold / time.Second), ID: id}
	c := &o.Capabilities
	c.AS4, c.ExtendedMessages = true, true
	for f := range prefix.Family(prefix.Families) {
		if !p.o.Families[f] {
			continue
		}
		c.Families = append(c.Families, wire.UnicastID(f))
		if p.contents.AddPath[f] && !p.o.From.All {
			c.AddPath = append(c.AddPath, wire.AddPathFamily{FamilyID: wire.UnicastID(f), Mode: wire.AddPathSend})
		}
	}
	if p.o.Families[prefix.IPv4] {
		c.ExtendedNextHops = []wire.ExtendedNextHop{{FamilyID: wire.UnicastID(prefix.IPv4), NextHopAFI: prefix.IPv6.AFI()}}
	}
	return o
}

// session connects, plays and ends the session.
func (p *player) session(ctx context.Context, connect func(context.Context) (net.Conn, error)) (err error) {
	p.progress(Progress{Phase: Connecting})
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	s, err := establish(ctx, conn, p.open())
	var n *Notification
	if errors.As(err, &n) && n.Code == wire.CodeOpen && n.Subcode == 2 {
		return fmt.Errorf("%w: it does not expect AS %d", err, p.sum.LocalAS)
	}
	if err != nil {
		return err
	}
	defer func() {
		s.close()
		p.sum.Received = s.received.Load()
	}()
	p.sum.RemoteAS = s.remote.ASN
	e, err := p.encoder(s)
	if err != nil {
		return err
	}
	start := time.Now()
	err = p.play(ctx, s, e)
	p.sum.Elapsed = time.Since(start)
	if err != nil || !p.o.HoldOpen {
		return err
	}
	p.progress(Progress{Holding, p.total, p.total})
	if err := s.write(ctx, nil, nil); ctx.Err() == nil {
		return err
	}
	return nil
}

// play sends what the encoder makes.
func (p *player) play(ctx context.Context, s *speaker, e *encoder) error {
	encoding, stop := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		failed <- e.run(encoding, p)
		close(e.chunks)
	}()
	err := s.write(ctx, e.chunks, func(c chunk) {
		p.sum.Bytes += int64(len(c.data))
		p.progress(Progress{Sending, int64(c.done), p.total})
		select {
		case e.free <- c.data[:0]:
		default:
		}
	})
	stop()
	encodeErr := <-failed
	p.report(e)
	if err != nil {
		return err
	}
	return encodeErr
}
