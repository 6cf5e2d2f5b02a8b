package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"holdfast/internal/events"
)

// Of one address. Whoever reaches it must not use up what routing needs.
const (
	maxScrapes     = 4
	maxConnections = 32
)

// Server answers scrapes over HTTP.
type Server struct {
	handler http.Handler
	log     *slog.Logger
	retry   time.Duration // before a port that could not be had is tried again

	mu    sync.Mutex
	ports map[netip.AddrPort]*port
	ended bool
	wg    sync.WaitGroup
}

// port is one address that scrapes come to.
type port struct {
	at     netip.AddrPort
	ctx    context.Context
	cancel context.CancelFunc
	// Of the Server's mutex: the listener, or why there is none.
	l   net.Listener
	err error
}

// giveUp closes a port at once: it may be wanted for another address.
func (p *port) giveUp() {
	p.cancel()
	if p.l != nil {
		p.l.Close()
	}
}

// NewServer makes a Server that listens nowhere yet.
func NewServer(s Source, log *slog.Logger) *Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(newRegistry(s), promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.With("event", events.MetricsError).Handler(), slog.LevelWarn),
		// Half of the figures would look like all of them.
		ErrorHandling:       promhttp.HTTPErrorOnError,
		MaxRequestsInFlight: maxScrapes,
	}))
	return &Server{handler: mux, log: log, retry: 10 * time.Second, ports: map[netip.AddrPort]*port{}}
}

// Listen makes these the addresses that are listened on. Those that cannot be
// had are in the error, and are tried again until they can: metrics are no
// reason not to route.
func (s *Server) Listen(addrs []netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errors.New("metrics are being closed")
	}
	want := map[netip.AddrPort]bool{}
	for _, at := range addrs {
		want[netip.AddrPortFrom(at.Addr().Unmap(), at.Port())] = true
	}
	for at, p := range s.ports {
		if !want[at] {
			p.giveUp()
			delete(s.ports, at)
		}
	}
	var errs []error
	for at := range want {
		p := s.ports[at]
		if p == nil {
			p = s.open(at)
		}
		if p.err != nil {
			errs = append(errs, p.err)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// open is called with the mutex.
func (s *Server) open(at netip.AddrPort) *port {
	p := &port{at: at}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.l, p.err = listen(at)
	s.tell(p, p.err)
	s.ports[at] = p
	l := p.l
	s.wg.Go(func() { s.run(p, l) })
	return p
}

// Close ends everything.
func (s *Server) Close() {
	s.mu.Lock()
	s.ended = true
	for _, p := range s.ports {
		p.giveUp()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// run serves on a port until it is given up; l is nil if it could not be had
// yet.
func (s *Server) run(p *port, l net.Listener) {
	for {
		if l != nil {
			err := s.serve(p, l)
			if !s.now(p, nil, err) {
				return
			}
		}
		wait := time.NewTimer(s.retry)
		select {
		case <-wait.C:
		case <-p.ctx.Done():
			wait.Stop()
			return
		}
		var err error
		if l, err = listen(p.at); err == nil && !s.now(p, l, nil) {
			l.Close()
			return
		}
	}
}

// now notes what has become of a port; false if it has been given up.
func (s *Server) now(p *port, l net.Listener, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.l, p.err = l, err
	s.tell(p, err)
	return true
}

func (s *Server) tell(p *port, err error) {
	if err != nil {
		s.log.Error("metrics are not served", "event", events.MetricsUnavailable, "at", p.at, "error", err, "retry", s.retry)
	} else {
		s.log.Info("metrics are served", "event", events.MetricsServed, "at", p.at)
	}
}

func (s *Server) serve(p *port, l net.Listener) error {
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(s.log.With("event", events.MetricsError).Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(p.ctx, func() { server.Close() })
	defer stop()
	return server.Serve(limit(l, maxConnections))
}

// listen opens a port of exactly that family, as those of BGP are opened.
func listen(at netip.AddrPort) (net.Listener, error) {
	network := "tcp6"
	if at.Addr().Is4() {
		network = "tcp4"
	}
	l, err := net.Listen(network, at.String())
	if err == nil {
		return l, nil
	}
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = " (choose another port in metrics)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = " (no interface has this address now)"
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		err = no // without what the first words say already
	}
	return nil, fmt.Errorf("cannot serve metrics on %v: %w%s", at, err, hint)
}

// limited is a listener with a bound on connections: more wait in the kernel's
// queue.
type limited struct {
	net.Listener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, free: make(chan struct{}, n), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &counted{Conn: c, done: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	done func()
}

func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}
