package fsm

// Capability is one of an OPEN message (RFC 5492).
type Capability struct {
	Code  uint8
	Value []byte
}
