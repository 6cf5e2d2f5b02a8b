package rpki

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/prefix"
)

// FileError is what is wrong with a file, and behind how many bytes of it.
type FileError struct {
	Offset int64
	Err    error
}

func (e *FileError) Error() string { return e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// asn reads 64500 and "AS64500".
type asn uint32

func (a *asn) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if len(s) > 2 && strings.EqualFold(s[:2], "AS") {
		s = s[2:]
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return fmt.Errorf("%s is no AS number", b)
	}
	*a = asn(n)
	return nil
}

// roa is a record of rpki-client's and Routinator's files.
type roa struct {
	ASN       *asn   `json:"asn"`
	Prefix    string `json:"prefix"`
	MaxLength *uint8 `json:"maxLength"`
	Expires   int64  `json:"expires"`
}

func (r *roa) vrp() (VRP, error) {
	if r.ASN == nil {
		return VRP{}, errors.New("a record has no asn")
	}
	p, err := prefix.Parse(r.Prefix)
	if err != nil {
		return VRP{}, err
	}
	v := VRP{p, p.Bits, uint32(*r.ASN)}
	if r.MaxLength != nil {
		v.MaxLen = *r.MaxLength
	}
	return v, v.Check()
}

// aspa is a record of rpki-client's files, and of Routinator's, which names the
// customer otherwise.
type aspa struct {
	Customer  *asn  `json:"customer_asid"`
	Named     *asn  `json:"customer"`
	Providers []asn `json:"providers"`
	Expires   int64 `json:"expires"`
}

func (a *aspa) get() (ASPA, error) {
	customer := cmp.Or(a.Customer, a.Named)
	if customer == nil {
		return ASPA{}, errors.New("a list of providers has no customer_asid")
	}
	out := ASPA{Customer: uint32(*customer)}
	for _, p := range a.Providers {
		out.Providers = append(out.Providers, uint32(p))
	}
	if len(out.Providers) == 0 {
		return ASPA{}, fmt.Errorf("AS%d has an empty list of providers", out.Customer)
	}
	return out, nil
}

// ReadJSON reads the JSON of a validator as a stream: an object whose list "roas"
// has the VRPs, and "aspas", if it is there, the ASPAs. Those that have expired at a
// time are left out. Errors are *FileError.
func ReadJSON(r io.Reader, at time.Time, most int) (*Set, *ASPAs, error) {
	d := json.NewDecoder(r)
	var b Builder
	var aspas []ASPA
	records := 0
	count := func(n int) error {
		if records += n; records > most {
			return fmt.Errorf("it has more than %d records", most)
		}
		return nil
	}
	found := false
	err := object(d, func(key string) error {
		if key == "aspas" {
			return list(d, func() error {
				var x aspa
				if err := d.Decode(&x); err != nil {
					return err
				}
				a, err := x.get()
				if err != nil || x.Expires != 0 && x.Expires <= at.Unix() {
					return err
				}
				aspas = append(aspas, a)
				return count(len(a.Providers))
			})
		}
		if key != "roas" {
			return skip(d)
		}
		found = true
		return list(d, func() error {
			var x roa
			if err := d.Decode(&x); err != nil {
				return err
			}
			v, err := x.vrp()
			switch {
			case err != nil:
				return err
			case x.Expires != 0 && x.Expires <= at.Unix():
				return nil
			}
			b.Add(v)
			return count(1)
		})
	})
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("something follows the end of the object")
		} else if !found {
			err = errors.New(`it has no list "roas": this is not what a validator writes`)
		}
	}
	if err != nil {
		return nil, nil, &FileError{d.InputOffset(), whole(err)}
	}
	return b.Set(), NewASPAs(aspas), nil
}

// whole says in our words that a file ends too early.
func whole(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends too early")
	}
	return err
}

func delim(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err == nil && t != want {
		err = fmt.Errorf("here is %v, and not %v", t, want)
	}
	return err
}

// object calls f with each key of an object; f reads the value.
func object(d *json.Decoder, f func(key string) error) error {
	if err := delim(d, '{'); err != nil {
		return err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		if err := f(key); err != nil {
			return err
		}
	}
	return delim(d, '}')
}

// list calls f for each member of a list, which f reads.
func list(d *json.Decoder, f func() error) error {
	if err := delim(d, '['); err != nil {
		return err
	}
	for d.More() {
		if err := f(); err != nil {
			return err
		}
	}
	return delim(d, ']')
}

// skip reads over a value without keeping it.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
