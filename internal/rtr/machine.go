package rtr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/rpki"
)

// newest is the version that is asked for first: 2 of draft-ietf-sidrops-8210bis,
// 1 of RFC 8210, 0 of RFC 6810.
const newest = 2

// What holds where a cache does not say otherwise, and how far it may go (RFC
// 8210 section 6).
const (
	defaultRefresh = time.Hour
	defaultRetry   = 10 * time.Minute
	defaultExpire  = 2 * time.Hour
)

// MaxRecords is how many VRPs and providers a source may have: several times what
// there is.
const MaxRecords = 4 << 20

// known is what a cache has said, as of its last End of Data.
type known struct {
	set     *rpki.Set // nil: nothing
	aspas   *rpki.ASPAs
	version uint8
	session uint16
	serial  uint32
	// continues: the cache may be asked for what has changed since.
	continues              bool
	refresh, retry, expire time.Duration
}

// machine is the router's end of the protocol without clock and connection. It
// lives as long as a connection; what is known stays.
type machine struct {
	known
	at         uint8 // the version that is spoken
	negotiated bool
	asked      bool
	receiving  bool   // between Cache Response and End of Data
	full       bool   // what comes is everything, not what has changed
	session    uint16 // of the response
	all        rpki.Builder
	changes    []rpki.Change
	aspaList   []rpki.ASPA // in the order in which they came
	providers  int         // in these
	// news: while it is asked, the cache has told that it has this.
	news       bool
	newSession uint16
	newSerial  uint32
}

var (
	errNoData = errors.New("the cache has no data yet")
	// errForeign: the cache is another one than it was, or has lost its memory.
	errForeign = errors.New("the cache has begun anew")
)

// olderError asks for another connection, with an older version.
type olderError struct{ version uint8 }

func (e *olderError) Error() string {
	return fmt.Sprintf("the cache does not speak version %d", e.version+1)
}

// query asks for what has changed, or for everything where nothing is known.
func (m *machine) query() []byte {
	m.asked, m.receiving, m.news = true, false, false
	m.all, m.changes, m.aspaList, m.providers = rpki.Builder{}, nil, nil, 0
	if m.full = !m.continues || m.known.version != m.at; m.full {
		return appendResetQuery(nil, m.at)
	}
	return appendSerialQuery(nil, m.at, m.known.session, m.serial)
}

// take does what a PDU asks for. fresh says that another set is known now. Of
// errors, a *protocolError is to be reported; all but errNoData end the connection.
func (m *machine) take(p pdu) (send []byte, fresh bool, err error) {
	if p.kind == serialNotify && !m.negotiated {
		return nil, false, nil // RFC 8210 section 7
	}
	if p.kind == errorReport {
		return nil, false, m.reported(p)
	}
	if err := m.negotiate(p); err != nil {
		return nil, false, err
	}
	if err := m.check(p); err != nil {
		return nil, false, err
	}
	switch p.kind {
	case serialNotify:
		m.news, m.newSession, m.newSerial = true, p.session, binary.BigEndian.Uint32(p.body)
		if m.asked {
			return nil, false, nil // the answer may have it, or not yet
		}
		return m.hear(), false, nil
	case cacheResponse:
		if !m.full && p.session != m.known.session {
			// RFC 8210 section 5.1. What is known stays until all of the new is there.
			m.continues = false
			return nil, false, errForeign
		}
		m.receiving, m.session = true, p.session
	case cacheReset:
		m.continues = false
		return m.query(), false, nil
	case ipv4Prefix, ipv6Prefix:
		return nil, false, m.record(p)
	case aspa:
		return nil, false, m.aspa(p)
	case endOfData:
		if err := m.end(p); err != nil {
			return nil, false, err
		}
		return m.hear(), true, nil
	}
	return nil, false, nil // keys are not used
}

// hear asks for what the cache has told of, unless that is known.
func (m *machine) hear() []byte {
	switch {
	case !m.news:
		return nil
	case m.newSession != m.known.session:
		m.continues = false
	case m.continues && m.newSerial == m.serial:
		m.news = false
		return nil
	}
	return m.query()
}

// reported is an error that the cache reports.
func (m *machine) reported(p pdu) error {
	text, ok := readError(p)
	if m.asked && !m.full && p.session != noData && p.session != badVersion {
		// Some caches that have begun another session answer so.
		m.continues = false
	}
	switch {
	case !ok:
		return errors.New("the cache reports an error that cannot be read") // and errors about errors are none to report
	case p.session == badVersion && m.at > 0:
		// RFC 8210 section 7: the version of the report is one that it speaks.
		return &olderError{min(p.version, m.at-1)}
	case p.session == noData:
		m.asked, m.receiving = false, false
		m.negotiated = m.negotiated || p.version == m.at
		return errNoData
	case text == "":
		return fmt.Errorf("the cache reports: %s", errorText(p.session))
	}
	return fmt.Errorf("the cache reports: %s: %q", errorText(p.session), text[:min(len(text), 200)])
}

// negotiate settles the version by the first answer (RFC 8210 section 7).
func (m *machine) negotiate(p pdu) error {
	if !m.negotiated && p.version < m.at {
		if m.at = p.version; !m.full {
			m.continues = false
			return errForeign // serials are those of a version
		}
	}
	if p.version != m.at {
		return fail(p.bytes, unexpectedVersion, "a PDU has version %d instead of %d", p.version, m.at)
	}
	m.negotiated = true
	return nil
}

// check refuses what cannot come now, or has the wrong length.
func (m *machine) check(p pdu) error {
	length, during := 0, false
	switch p.kind {
	case serialNotify:
		length = 4
	case cacheResponse, cacheReset:
	case ipv4Prefix, ipv6Prefix:
		length, during = len(p.body), true
	case endOfData:
		if length, during = 16, true; m.at == 0 {
			length = 4
		}
	case routerKey:
		if length, during = len(p.body), true; m.at < 1 || length < 24 { // RFC 8210 section 5.10
			return fail(p.bytes, corruptData, "a router key of %d bytes in version %d", length, m.at)
		}
	case aspa:
		if length, during = len(p.body), true; m.at < 2 || length < 4 || length%4 != 0 {
			return fail(p.bytes, corruptData, "a list of providers of %d bytes in version %d", length, m.at)
		}
	case serialQuery, resetQuery:
		return fail(p.bytes, invalidRequest, "a cache asks a router")
	default:
		return fail(p.bytes, badType, "a PDU has type %d", p.kind)
	}
	switch {
	case len(p.body) != length:
		return fail(p.bytes, corruptData, "a PDU of type %d has %d bytes", p.kind, len(p.bytes))
	case during && !m.receiving:
		return fail(p.bytes, corruptData, "a PDU of type %d that belongs to no response", p.kind)
	case p.kind == cacheResponse && (!m.asked || m.receiving):
		return fail(p.bytes, corruptData, "a response that nobody has asked for")
	case p.kind == cacheReset && (!m.asked || m.full || m.receiving):
		return fail(p.bytes, corruptData, "a Cache Reset that answers no Serial Query")
	}
	return nil
}

func (m *machine) record(p pdu) error {
	c, err := vrp(p)
	switch {
	case err != nil:
		return err
	case m.records() >= MaxRecords:
		return tooMany()
	case !m.full:
		m.changes = append(m.changes, c)
	case c.Withdraw:
		return fail(p.bytes, unknownWithdrawal, "%s is withdrawn without having been announced", c.VRP)
	default:
		m.all.Add(c.VRP)
	}
	return nil
}

func (m *machine) records() int { return m.all.Len() + len(m.changes) + m.providers }

func tooMany() error { return fail(nil, internalError, "more than %d records", MaxRecords) }

func (m *machine) aspa(p pdu) error {
	a, ok, err := readASPA(p)
	if err != nil || !ok {
		return err
	}
	if m.providers += 1 + len(a.Providers); m.records() > MaxRecords {
		return tooMany()
	}
	m.aspaList = append(m.aspaList, a)
	return nil
}

// end makes what has come known, all at once.
func (m *machine) end(p pdu) error {
	if p.session != m.session {
		return fail(p.bytes, corruptData, "a response begins in session %d and ends in %d", m.session, p.session)
	}
	var set *rpki.Set
	var before *rpki.ASPAs
	if m.full {
		n := m.all.Len()
		if set = m.all.Set(); set.Len() != n {
			return fail(nil, twiceAnnounced, "%d records are announced twice", n-set.Len())
		}
	} else {
		before = m.aspas
		var err error
		if set, err = m.set.Apply(m.changes); err != nil {
			code := uint16(twiceAnnounced)
			if errors.Is(err, rpki.ErrUnknown) {
				code = unknownWithdrawal
			}
			m.continues = false
			return fail(nil, code, "%v", err)
		}
	}
	aspas, err := before.Apply(m.aspaList)
	if err != nil {
		m.continues = false
		return fail(nil, unknownWithdrawal, "%v", err)
	}
	if set.Len()+aspas.Pairs() > MaxRecords {
		return tooMany()
	}
	k := known{set: set, aspas: aspas, version: m.at, session: p.session, serial: binary.BigEndian.Uint32(p.body), continues: true,
		refresh: defaultRefresh, retry: defaultRetry, expire: defaultExpire}
	if m.at > 0 {
		seconds := func(at int, low, high time.Duration) time.Duration {
			return min(max(time.Duration(binary.BigEndian.Uint32(p.body[at:]))*time.Second, low), high)
		}
		k.refresh = seconds(4, time.Second, 24*time.Hour)
		k.retry = seconds(8, time.Second, 2*time.Hour)
		k.expire = seconds(12, 10*time.Minute, 48*time.Hour)
	}
	m.known = k
	m.asked, m.receiving, m.changes, m.aspaList = false, false, nil, nil
	return nil
}
