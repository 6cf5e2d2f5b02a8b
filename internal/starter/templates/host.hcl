# A host of AS {{.ASN}} that announces addresses of its own, as an anycast server
# does, written by "holdfast init".
{{- template "head" .}}
# From the routers above: a default route and nothing else.
policy "from-transit" {
  rule "default route" {
    match { prefix = ["0.0.0.0/0", "::/0"] }
    then = "accept"
  }
}

# To them: what is ours. What came from one of them never goes to another.
policy "to-transit" {
  rule "ours" {
    match { source = ["originated"] }
    then = "accept"
  }
}
{{range .Transits}}
# The routers above. local_role says what we are to them (RFC 9234); max_prefixes
# ends a session that floods us. Ask them for a default route only, and write 10.
group "transit" {
  local_role = "customer"
  import     = policy.from-transit
  export     = policy.to-transit
{{- template "limits" .}}
}
{{$both := .Both}}{{range .Members}}
neighbor "{{.Name}}" {
  group   = group.transit
  address = "{{.Address}}"
  asn     = {{.ASN}}
{{- if $both}}
  families = "{{.Family}}"
{{- end}}
  #multihop      = 2 # if it is not on our link
  #password_file = "/etc/holdfast/{{.Name}}.key" # agreed with them: TCP MD5
}
{{end}}{{end}}
{{- template "protect" .}}
