router {
  asn = 64500
  id  = "192.0.2.1"
}

prefix_set "ours" {
  prefixes = ["203.0.113.0/24" "198.51.100.0/24"]
}
