package view

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/wire"
)

// jsonView writes messages with the names of their fields, which are stable.
//
// All fields are there except optional ones and messages that are absent.
// Numbers are numbers, enums lower-case words, times RFC 3339, durations
// seconds, bytes hexadecimal. AS paths and communities are text, as people
// write them; a path's segments are in as_path_segments as well.
type jsonView struct{ w io.Writer }

func (v *jsonView) write(m proto.Message) error {
	var b bytes.Buffer
	if err := json.Indent(&b, appendMessage(nil, m.ProtoReflect()), "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := v.w.Write(b.Bytes())
	return err
}

func (v *jsonView) Version(own, running *pb.GetVersionResponse) error {
	b := append([]byte(`{"client":`), appendMessage(nil, own.ProtoReflect())...)
	if running != nil {
		b = appendMessage(append(b, `,"running":`...), running.ProtoReflect())
	}
	var out bytes.Buffer
	if err := json.Indent(&out, append(b, '}'), "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err := v.w.Write(out.Bytes())
	return err
}

func (v *jsonView) Summary(m *pb.GetSummaryResponse) error            { return v.write(m) }
func (v *jsonView) Neighbors(m *pb.ListNeighborsResponse) error       { return v.write(m) }
func (v *jsonView) Neighbor(m *pb.GetNeighborResponse) error          { return v.write(m) }
func (v *jsonView) RouteCount(m *pb.CountRoutesResponse) error        { return v.write(m) }
func (v *jsonView) Lookup(m *pb.LookupResponse) error                 { return v.write(m) }
func (v *jsonView) Explain(m *pb.ExplainResponse) error               { return v.write(m) }
func (v *jsonView) Policies(m *pb.ListPoliciesResponse) error         { return v.write(m) }
func (v *jsonView) PolicyTest(m *pb.TestPolicyResponse) error         { return v.write(m) }
func (v *jsonView) BFD(m *pb.ListBfdResponse) error                   { return v.write(m) }
func (v *jsonView) NextHops(m *pb.ListNextHopsResponse, _ bool) error { return v.write(m) }
func (v *jsonView) RPKI(m *pb.GetRPKIResponse, _ *pb.GetRPKIRequest) error {
	return v.write(m)
}

func (v *jsonView) Memory(m *pb.GetMemoryResponse) error                { return v.write(m) }
func (v *jsonView) Cleared(m *pb.ClearNeighborsResponse) error          { return v.write(m) }
func (v *jsonView) Announcements(m *pb.ListAnnouncementsResponse) error { return v.write(m) }
func (v *jsonView) Withdrawn(m *pb.WithdrawResponse) error              { return v.write(m) }
func (v *jsonView) Reloaded(m *pb.ReloadResponse) error                 { return v.write(m) }
func (v *jsonView) Checked(m *pb.CheckConfigResponse, _ bool) error     { return v.write(m) }

func (v *jsonView) TraceEvent(m *pb.TraceEvent) error {
	_, err := v.w.Write(append(appendMessage(nil, m.ProtoReflect()), '\n'))
	return err
}

// Event is one document on one line: they come without end.
func (v *jsonView) Event(m *pb.Event) error {
	_, err := v.w.Write(append(appendMessage(nil, m.ProtoReflect()), '\n'))
	return err
}

func (v *jsonView) Shutdown(m *pb.ShutdownResponse) error {
	_, err := v.w.Write(append(appendMessage(nil, m.ProtoReflect()), '\n'))
	return err
}

func (v *jsonView) Done(string) error {
	_, err := io.WriteString(v.w, "{}\n")
	return err
}

func (v *jsonView) Routes(RouteColumns) Routes {
	return &jsonRoutes{w: bufio.NewWriterSize(v.w, 64<<10)}
}

// jsonRoutes writes one document with one route on each line.
type jsonRoutes struct {
	w   *bufio.Writer
	buf []byte
	any bool
}

func (r *jsonRoutes) Add(m *pb.Route) error {
	head := ",\n"
	if !r.any {
		head = "{\"routes\": [\n"
	}
	r.any = true
	r.buf = appendMessage(append(r.buf[:0], head...), m.ProtoReflect())
	_, err := r.w.Write(r.buf)
	return err
}

func (r *jsonRoutes) Close() error {
	end := "\n]}\n"
	if !r.any {
		end = "{\"routes\": []}\n"
	}
	if _, err := r.w.WriteString(end); err != nil {
		return err
	}
	return r.w.Flush()
}

func appendMessage(b []byte, m protoreflect.Message) []byte {
	switch v := m.Interface().(type) {
	case *timestamppb.Timestamp:
		return appendString(b, v.AsTime().Format(time.RFC3339Nano))
	case *durationpb.Duration:
		return strconv.AppendFloat(b, v.AsDuration().Seconds(), 'f', -1, 64)
	case *pb.LargeCommunity:
		return appendString(b, api.LargeCommunityText(v))
	}
	b = append(b, '{')
	fields := m.Descriptor().Fields()
	first := true
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.HasPresence() && !m.Has(f) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		name := string(f.Name())
		if a, ok := m.Interface().(*pb.Attributes); ok && name == "as_path" {
			b = appendString(append(b, `"as_path":`...), api.ASPathText(a.AsPath))
			name = ",as_path_segments"
		}
		if strings.HasPrefix(name, ",") {
			b, name = append(b, ','), name[1:]
		}
		b = append(appendString(b, name), ':')
		if !f.IsList() {
			b = appendValue(b, f, m.Get(f))
			continue
		}
		b = append(b, '[')
		for j, l := 0, m.Get(f).List(); j < l.Len(); j++ {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, f, l.Get(j))
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendValue(b []byte, f protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return appendMessage(b, v.Message())
	case protoreflect.EnumKind:
		return appendString(b, enumText(f.Enum(), v.Enum()))
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool())
	case protoreflect.BytesKind:
		if f.Name() == "ipv6_communities" {
			return appendString(b, ipv6Community(v.Bytes()))
		}
		return appendString(b, hex.EncodeToString(v.Bytes()))
	case protoreflect.StringKind:
		return appendString(b, v.String())
	case protoreflect.Fixed32Kind: // used for communities alone
		return appendString(b, wire.CommunityText(uint32(v.Uint())))
	case protoreflect.Fixed64Kind: // likewise
		return appendString(b, wire.ExtCommunity(v.Uint()).String())
	}
	return strconv.AppendUint(b, v.Uint(), 10) // the messages have no other kind
}

// enumText is the name without its type: SESSION_STATE_OPEN_SENT is open_sent,
// what is unspecified is empty.
func enumText(d protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	v := d.Values().ByNumber(n)
	if v == nil { // of a newer router
		return strconv.Itoa(int(n))
	}
	if n == 0 {
		return ""
	}
	unspecified := string(d.Values().ByNumber(0).Name())
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), strings.TrimSuffix(unspecified, "UNSPECIFIED")))
}

// appendString quotes a string. < and > stay what they are: this is no web page.
func appendString(b []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		return append(append(append(b, '"'), s...), '"')
	}
	var q bytes.Buffer
	e := json.NewEncoder(&q)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // a string can always be written
		return append(b, `""`...)
	}
	return append(b, bytes.TrimSuffix(q.Bytes(), []byte("\n"))...)
}
