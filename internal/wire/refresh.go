package wire

import (
	"encoding/binary"

	"holdfast/internal/prefix"
)

// Subtypes of ROUTE-REFRESH (RFC 2918, RFC 7313 section 3.2).
const (
	RefreshRequest = 0
	RefreshBegin   = 1
	RefreshEnd     = 2
)

// Refresh is a ROUTE-REFRESH message. Subtypes that are not known are to be
// ignored (RFC 7313 section 5).
type Refresh struct {
	FamilyID
	Subtype uint8
}

// ParseRefresh reads the body of a ROUTE-REFRESH. What follows the family in an
// outbound route filter (RFC 5291), which is never negotiated, is an error.
func ParseRefresh(body []byte) (Refresh, *Error) {
	if len(body) != 4 {
		e := &Error{Code: CodeRefresh, Subcode: 1, Why: "ROUTE-REFRESH has a wrong length"}
		// RFC 7313 section 5: the whole message is the data.
		e.Data = append(AppendHeader(nil, MsgRefresh), body...)
		Finish(e.Data, 0)
		return Refresh{}, e
	}
	return Refresh{FamilyID{binary.BigEndian.Uint16(body), body[3]}, body[2]}, nil
}

// AppendRefresh writes a ROUTE-REFRESH.
func AppendRefresh(dst []byte, f prefix.Family, subtype uint8) []byte {
	at := len(dst)
	dst = AppendHeader(dst, MsgRefresh)
	dst = append(dst, 0, byte(f.AFI()), subtype, 1)
	Finish(dst, at)
	return dst
}
