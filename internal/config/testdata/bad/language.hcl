# What the language leaves out.
router {
  asn = 64500 + 1
  id  = var.id ? "192.0.2.1" : "192.0.2.2"
}

neighbor "a-${local.name}" {
  address     = "192.0.2.9"
  asn         = max(64501, 64502)
  description = "to ${local.name}"
  passive     = !true
  port        = -1
}

neighbor "b" {
  address     = "192.0.2.10"
  asn         = (64503)
  description = <<-TEXT
    many
    lines
  TEXT
  passive     = 1 == 1
}

prefix_set "s" {
  prefixes = [for p in local.all : p]
}
