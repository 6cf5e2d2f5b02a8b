package rtr

import (
	"encoding/binary"
	"fmt"

	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
)

// Types of PDUs (RFC 8210 section 14).
const (
	serialNotify  = 0
	serialQuery   = 1
	resetQuery    = 2
	cacheResponse = 3
	ipv4Prefix    = 4
	ipv6Prefix    = 6
	endOfData     = 7
	cacheReset    = 8
	routerKey     = 9
	errorReport   = 10
	aspa          = 11
)

// Errors that one end reports to the other (RFC 8210 section 12).
const (
	corruptData       = 0
	internalError     = 1
	noData            = 2
	invalidRequest    = 3
	badVersion        = 4
	badType           = 5
	unknownWithdrawal = 6
	twiceAnnounced    = 7
	unexpectedVersion = 8
	providerList      = 9 // draft-ietf-sidrops-8210bis section 5.12
)

var errorTexts = [...]string{"corrupt data", "internal error", "no data available", "invalid request", "unsupported version", "unsupported PDU",
	"withdrawal of an unknown record", "a record announced twice", "unexpected version", "a wrong list of providers"}

func errorText(code uint16) string {
	if int(code) < len(errorTexts) {
		return errorTexts[code]
	}
	return fmt.Sprintf("error %d", code)
}

const (
	headerLen = 8
	// longestPDU bounds what is read of a cache at once. The longest that make
	// sense are lists of providers, and errors with a PDU and a text in them.
	longestPDU = 64 << 10
)

// pdu is a whole one. What it has aliases the buffer that it was read into.
type pdu struct {
	version, kind uint8
	session       uint16 // or flags, or the number of an error
	body          []byte
	bytes         []byte // all of it
}

// header is the length of the PDU that begins with b.
func header(b []byte) (length int, err error) {
	n := binary.BigEndian.Uint32(b[4:])
	if n < headerLen || n > longestPDU {
		return 0, fail(b, corruptData, "a PDU of type %d has %d bytes", b[1], n)
	}
	return int(n), nil
}

func parse(b []byte) pdu {
	return pdu{b[0], b[1], binary.BigEndian.Uint16(b[2:]), b[headerLen:], b}
}

func appendHeader(b []byte, version, kind uint8, session uint16, length int) []byte {
	b = append(b, version, kind)
	b = binary.BigEndian.AppendUint16(b, session)
	return binary.BigEndian.AppendUint32(b, uint32(length))
}

func appendSerialQuery(b []byte, version uint8, session uint16, serial uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(b, version, serialQuery, session, 12), serial)
}

func appendResetQuery(b []byte, version uint8) []byte {
	return appendHeader(b, version, resetQuery, 0, headerLen)
}

// appendError reports an error about a PDU. RFC 8210 section 5.11.
func appendError(b []byte, version uint8, e *protocolError) []byte {
	about := e.pdu[:min(len(e.pdu), 128)]
	b = appendHeader(b, version, errorReport, e.code, headerLen+8+len(about)+len(e.text))
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(about))), about...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(e.text))), e.text...)
}

// readError is what an error report says.
func readError(p pdu) (text string, ok bool) {
	b := p.body
	for range 2 {
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return "", false
		}
		n := binary.BigEndian.Uint32(b)
		text, b = string(b[4:4+n]), b[4+n:]
	}
	return text, len(b) == 0
}

// vrp reads a prefix PDU.
func vrp(p pdu) (rpki.Change, error) {
	f, size := prefix.IPv4, 4
	if p.kind == ipv6Prefix {
		f, size = prefix.IPv6, 16
	}
	b := p.body
	if len(b) != 4+size+4 {
		return rpki.Change{}, fail(p.bytes, corruptData, "a prefix PDU has %d bytes", len(p.bytes))
	}
	flags, bits, longest := b[0], b[1], b[2]
	hi, lo := uint64(binary.BigEndian.Uint32(b[4:]))<<32, uint64(0)
	if f == prefix.IPv6 {
		hi, lo = binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint64(b[12:])
	}
	if bits > f.MaxBits() || flags > 1 {
		return rpki.Change{}, fail(p.bytes, corruptData, "a prefix has length %d, and flags %d", bits, flags)
	}
	v := rpki.VRP{Prefix: prefix.New(f, hi, lo, bits), MaxLen: longest, ASN: binary.BigEndian.Uint32(b[4+size:])}
	if v.Prefix.Hi != hi || v.Prefix.Lo != lo {
		return rpki.Change{}, fail(p.bytes, corruptData, "%s has bits set behind its length", v.Prefix)
	}
	if err := v.Check(); err != nil {
		return rpki.Change{}, fail(p.bytes, corruptData, "%v", err)
	}
	return rpki.Change{VRP: v, Withdraw: flags == 0}, nil
}

// readASPA reads an ASPA, without providers if it is withdrawn (draft-ietf-sidrops-
// 8210bis section 5.12). ok is false for those of earlier drafts, which are about one
// family.
func readASPA(p pdu) (a rpki.ASPA, ok bool, err error) {
	flags, list := p.session>>8, p.body[4:]
	if flags == 0 && len(list) > 0 {
		return a, false, nil
	}
	a.Customer = binary.BigEndian.Uint32(p.body)
	for ; len(list) > 0; list = list[4:] {
		a.Providers = append(a.Providers, binary.BigEndian.Uint32(list))
	}
	n := len(a.Providers)
	for i := 1; i < n; i++ {
		if a.Providers[i] <= a.Providers[i-1] {
			return a, false, fail(p.bytes, providerList, "the providers of AS%d are not in ascending order", a.Customer)
		}
	}
	switch {
	case flags > 1:
		return a, false, fail(p.bytes, corruptData, "a list of providers has flags %d", flags)
	case flags == 1 && n == 0:
		return a, false, fail(p.bytes, providerList, "AS%d has an empty list of providers", a.Customer)
	case n > 1 && a.Providers[0] == 0:
		return a, false, fail(p.bytes, providerList, "AS%d has providers beside AS0, which is none", a.Customer)
	}
	return a, true, nil
}

// protocolError is what a cache did wrong, to be reported to it.
type protocolError struct {
	code uint16
	text string
	pdu  []byte
}

func (e *protocolError) Error() string { return e.text }

func fail(about []byte, code uint16, format string, args ...any) *protocolError {
	return &protocolError{code, fmt.Sprintf(format, args...), append([]byte(nil), about...)}
}
