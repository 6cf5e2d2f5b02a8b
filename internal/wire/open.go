package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Subcodes of OPEN Message Error (RFC 4271 section 6.2, RFC 5492, RFC 9234).
const (
	subOpenUnspecific = 0
	subVersion        = 1
	subBadAS          = 2
	subBadID          = 3
	subOptionalParam  = 4
	subHoldTime       = 6
	subRoleMismatch   = 11
)

const (
	bgpVersion         = 4
	openFixed          = 10 // bytes up to the optional parameters
	paramCapabilities  = 2
	paramExtended      = 255 // RFC 9072
	maxShortParameters = 255 - 2
)

// Open is an OPEN message.
type Open struct {
	ASN          uint32 // of the AS4 capability, or else of the My AS field
	HoldTime     uint16 // seconds, 0 for no keepalives
	ID           uint32 // BGP identifier
	Capabilities Capabilities
}

func openError(sub uint8, format string, args ...any) *Error {
	return &Error{Code: CodeOpen, Subcode: sub, Why: fmt.Sprintf(format, args...)}
}

// ParseOpen reads the body of an OPEN (without the header). Whether its values
// suit the configuration is for the caller. It keeps no part of body but in
// Capabilities.Unknown and in the error.
func ParseOpen(body []byte) (Open, *Error) {
	if len(body) < openFixed {
		return Open{}, &Error{Code: CodeHeader, Subcode: 2, Why: "OPEN is too short",
			Data: binary.BigEndian.AppendUint16(nil, uint16(len(body)+HeaderLen))}
	}
	if body[0] != bgpVersion {
		e := openError(subVersion, "OPEN has BGP version %d", body[0])
		e.Data = []byte{0, bgpVersion} // what we speak
		return Open{}, e
	}
	o := Open{
		ASN:      uint32(binary.BigEndian.Uint16(body[1:])),
		HoldTime: binary.BigEndian.Uint16(body[3:]),
		ID:       binary.BigEndian.Uint32(body[5:]),
	}
	switch {
	case o.ASN == 0: // RFC 7607 section 2
		return o, openError(subBadAS, "OPEN has AS number 0")
	case o.HoldTime == 1 || o.HoldTime == 2:
		return o, openError(subHoldTime, "OPEN has a hold time of %d s", o.HoldTime)
	case o.ID == 0: // RFC 6286 section 2.2
		return o, openError(subBadID, "OPEN has BGP identifier 0")
	}
	if err := o.parameters(body); err != nil {
		return o, err
	}
	if o.Capabilities.AS4 {
		o.ASN = o.Capabilities.ASN
		if o.ASN == 0 {
			return o, openError(subBadAS, "OPEN has AS number 0 in a capability")
		}
	}
	return o, nil
}

// parameters reads the optional parameters, in the form of RFC 4271 or of RFC
// 9072, which is known by the type of the first.
func (o *Open) parameters(body []byte) *Error {
	p, length := body[openFixed:], int(body[openFixed-1])
	head := 2
	if length != 0 && len(p) > 0 && p[0] == paramExtended {
		if len(p) < 3 {
			return openError(subOpenUnspecific, "OPEN ends within the length of its optional parameters")
		}
		length, p, head = int(binary.BigEndian.Uint16(p[1:])), p[3:], 3
	}
	if length != len(p) {
		return openError(subOpenUnspecific, "OPEN has %d bytes of optional parameters, not %d", len(p), length)
	}
	for len(p) > 0 {
		if len(p) < head {
			return openError(subOpenUnspecific, "OPEN ends within an optional parameter")
		}
		typ, n := p[0], int(p[1])
		if head == 3 {
			n = int(binary.BigEndian.Uint16(p[1:]))
		}
		if n > len(p)-head {
			return openError(subOpenUnspecific, "optional parameter %d overruns OPEN", typ)
		}
		if typ != paramCapabilities {
			return openError(subOptionalParam, "optional parameter %d is not known", typ)
		}
		if err := o.Capabilities.parse(p[head : head+n]); err != nil {
			return err
		}
		p = p[head+n:]
	}
	return nil
}

// AppendOpen writes an OPEN. The AS4 capability is the caller's to ask for; its
// AS number is o.ASN.
func AppendOpen(dst []byte, o *Open) []byte {
	at := len(dst)
	dst = AppendHeader(dst, MsgOpen)
	dst = append(dst, bgpVersion)
	dst = binary.BigEndian.AppendUint16(dst, as2(o.ASN))
	dst = binary.BigEndian.AppendUint16(dst, o.HoldTime)
	dst = binary.BigEndian.AppendUint32(dst, o.ID)
	caps := o.Capabilities.append(nil, o.ASN)
	switch n := len(caps); {
	case n == 0:
		dst = append(dst, 0)
	case n <= maxShortParameters:
		dst = append(dst, byte(n+2), paramCapabilities, byte(n))
	default: // RFC 9072 section 2
		dst = append(dst, 255, paramExtended)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n+3))
		dst = append(dst, paramCapabilities)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	}
	dst = append(dst, caps...)
	Finish(dst, at)
	return dst
}

// OpenCapabilities lists the capabilities of an OPEN's body as they stand there,
// as far as they can be told apart. It keeps no part of body.
func OpenCapabilities(body []byte) []Capability {
	if len(body) < openFixed {
		return nil
	}
	p, head := body[openFixed:], 2
	if len(p) >= 3 && body[openFixed-1] != 0 && p[0] == paramExtended { // RFC 9072
		p, head = p[3:], 3
	}
	var all []Capability
	for len(p) >= head {
		n := int(p[1])
		if head == 3 {
			n = int(binary.BigEndian.Uint16(p[1:]))
		}
		typ, v := p[0], p[head:]
		v, p = v[:min(n, len(v))], v[min(n, len(v)):]
		for typ == paramCapabilities && len(v) >= 2 && int(v[1]) <= len(v)-2 {
			all = append(all, Capability{Code: v[0], Value: slices.Clone(v[2 : 2+v[1]])})
			v = v[2+v[1]:]
		}
	}
	return all
}
