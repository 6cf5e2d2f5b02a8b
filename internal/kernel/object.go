package kernel

import (
	"fmt"

	"golang.org/x/sys/unix"

	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

// Attributes that package unix lacks.
const (
	routeObject     = 30 // RTA_NH_ID
	nhaResilient    = 12 // NHA_RES_GROUP
	nhaBuckets      = 1  // in it
	groupResilient  = 1  // a value of NHA_GROUP_TYPE
	sizeofNhmsg     = 8
	sizeofGroupPart = 8
)

// ourObject reports whether an ID is one of ours.
func ourObject(id uint32) bool { return id-fib.FirstObject < fib.MaxObjects }

// TakesObjects reports whether the kernel has nexthop objects with standbys, which
// came with Linux 5.13. It tries, with an object that does nothing.
func (k *Kernel) TakesObjects() bool {
	const id = fib.FirstObject + fib.MaxObjects // none of those that Objects looks for
	b := appendObject(nil, unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, k.next(), unix.AF_INET, k.Protocol, 0, id)
	b = native.AppendUint16(native.AppendUint16(b, unix.SizeofRtAttr), unix.NHA_BLACKHOLE)
	finish(b)
	k.appendChange(&b, &fib.ObjectChange{Object: fib.Object{ID: id + 1, Legs: []fib.Share{{Leg: id, Weight: 1}}}, Replace: true}, unix.NLM_F_CREATE)
	k.appendChange(&b, &fib.ObjectChange{Object: fib.Object{ID: id + 1}, Delete: true}, 0)
	k.appendChange(&b, &fib.ObjectChange{Object: fib.Object{ID: id}, Delete: true}, 0)
	ok := true
	err := k.transact(b, func(_ uint32, m message) { ok = ok && m.errno() == 0 })
	return ok && err == nil
}

// WriteObjects carries changes of objects out, in their order; errs[i] is nil
// where the kernel has it. It has the same caller as Write.
func (k *Kernel) WriteObjects(batch []fib.ObjectChange, errs []error) {
	for len(batch) > 0 {
		n := min(len(batch), burst)
		k.writeObjects(batch[:n], errs[:n])
		batch, errs = batch[n:], errs[n:]
	}
}

func (k *Kernel) writeObjects(batch []fib.ObjectChange, errs []error) {
	clear(errs)
	first, b := k.seq+1, k.begin()
	for i := range batch {
		k.appendChange(&b, &batch[i], 0)
	}
	err := k.transact(b, func(seq uint32, m message) {
		i := seq - first
		if i >= uint32(len(batch)) {
			return
		}
		switch errno := m.errno(); {
		case errno == 0, errno == unix.ENOENT && batch[i].Delete:
		case errno == unix.EEXIST:
			errs[i] = fib.ErrObjectTaken
		default:
			errs[i] = fmt.Errorf("the kernel refuses the nexthop object: %w (%s)", errno, m.reason())
		}
	})
	if err != nil {
		for i := range errs {
			errs[i] = fmt.Errorf("cannot write to the kernel: %w", err)
		}
	}
}

// appendChange writes a message about an object.
func (k *Kernel) appendChange(to *[]byte, c *fib.ObjectChange, flags uint16) {
	b := *to
	start := len(b)
	switch family := uint8(unix.AF_UNSPEC); {
	case c.Delete:
		b = appendObject(b, unix.RTM_DELNEXTHOP, 0, k.next(), family, 0, 0, c.ID)
	case c.Replace:
		flags |= unix.NLM_F_REPLACE
	default:
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	switch {
	case c.Delete:
	case c.Legs != nil:
		b = appendObject(b, unix.RTM_NEWNEXTHOP, flags, k.next(), unix.AF_UNSPEC, k.Protocol, 0, c.ID)
		b = native.AppendUint16(b, unix.SizeofRtAttr+uint16(len(c.Legs))*sizeofGroupPart)
		b = native.AppendUint16(b, unix.NHA_GROUP)
		for _, l := range c.Legs {
			b = append(native.AppendUint32(b, l.Leg), uint8(min(max(l.Weight, 1), 256)-1), 0, 0, 0)
		}
		b = appendUint16(b, unix.NHA_GROUP_TYPE, groupResilient)
		b = native.AppendUint16(b, unix.SizeofRtAttr+8)
		b = native.AppendUint16(b, nhaResilient|unix.NLA_F_NESTED)
		b = appendUint16(b, nhaBuckets, fib.Buckets)
	default:
		family, hopFlags := prefix.IPv6, uint32(0)
		if c.Hop.Gateway.Is4() {
			family = prefix.IPv4
		}
		if c.Hop.OnLink {
			hopFlags = unix.RTNH_F_ONLINK
		}
		b = appendObject(b, unix.RTM_NEWNEXTHOP, flags, k.next(), familyOf(family), k.Protocol, hopFlags, c.ID)
		b = appendUint32(b, unix.NHA_OIF, uint32(c.Hop.Link))
		b = appendAddr(b, unix.NHA_GATEWAY, c.Hop.Gateway)
	}
	finish(b[start:])
	*to = b
}

// appendObject writes a header, the fixed part, and which object it is about.
func appendObject(b []byte, kind, flags uint16, seq uint32, family, protocol uint8, hopFlags, id uint32) []byte {
	b = appendHeader(b, kind, flags|unix.NLM_F_REQUEST, seq)
	b = append(b, family, 0, protocol, 0)
	b = native.AppendUint32(b, hopFlags)
	return appendUint32(b, unix.NHA_ID, id)
}

func appendUint16(b []byte, kind, v uint16) []byte {
	b = native.AppendUint16(b, unix.SizeofRtAttr+2)
	b = native.AppendUint16(b, kind)
	return append(native.AppendUint16(b, v), 0, 0)
}

// Objects are ours in the kernel.
func (k *Kernel) Objects() ([]fib.Object, error) {
	var all []fib.Object
	req := append(request(unix.RTM_GETNEXTHOP), make([]byte, sizeofNhmsg)...)
	err := stable(func() error {
		all = nil
		return dump(finish(req), func(m message) error {
			if m.kind != unix.RTM_NEWNEXTHOP {
				return nil
			}
			if o, ours, ok := k.parseObject(m.body); ours && ok {
				all = append(all, o)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the kernel's nexthop objects: %w", err)
	}
	return all, nil
}

// parseObject reads an object: whether it is ours, and one as we make them.
func (k *Kernel) parseObject(b []byte) (o fib.Object, ours, ok bool) {
	if len(b) < sizeofNhmsg {
		return o, false, false
	}
	o.Hop.OnLink = native.Uint32(b[4:])&unix.RTNH_F_ONLINK != 0
	kind := uint16(0)
	for a, v := range attributes(b[sizeofNhmsg:]) {
		switch a {
		case unix.NHA_ID:
			o.ID = uint32Of(v)
		case unix.NHA_OIF:
			o.Hop.Link = int(uint32Of(v))
		case unix.NHA_GATEWAY:
			o.Hop.Gateway = gateway(unix.RTA_GATEWAY, v)
		case unix.NHA_GROUP_TYPE:
			if len(v) >= 2 {
				kind = native.Uint16(v)
			}
		case unix.NHA_GROUP:
			for ; len(v) >= sizeofGroupPart; v = v[sizeofGroupPart:] {
				o.Legs = append(o.Legs, fib.Share{Leg: native.Uint32(v), Weight: uint16(v[4]) + 1})
			}
		}
	}
	ours = b[2] == k.Protocol && ourObject(o.ID)
	return o, ours, o.Legs != nil && kind == groupResilient || o.Legs == nil && o.Hop.Gateway.IsValid() && o.Hop.Link != 0
}
