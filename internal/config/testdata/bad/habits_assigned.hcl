router {
  asn = 64500
  id  = "192.0.2.1"
}

prefix_set "ours" = ["203.0.113.0/24"]
