router {}

neighbor "a" {}

neighbor "b" { address = "192.0.2.9" }

originate "o" {}

aggregate "g" {}

protect "p" {
  announced_to {}
}

policy "p" {
  rule "r" {}
}

prefix_set "s" {}
