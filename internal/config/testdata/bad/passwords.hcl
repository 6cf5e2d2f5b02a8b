router {
  asn = 64500
  id  = "192.0.2.1"
}

group "g" { asn = 64500 }

neighbor "missing" {
  group         = group.g
  address       = "192.0.2.9"
  password_file = "missing.key"
}

neighbor "empty" {
  group         = group.g
  address       = "192.0.2.10"
  password_file = "empty.key"
}

neighbor "long" {
  group         = group.g
  address       = "192.0.2.11"
  password_file = "long.key"
}

neighbor "lines" {
  group         = group.g
  address       = "192.0.2.12"
  password_file = "prefixes.txt"
}
