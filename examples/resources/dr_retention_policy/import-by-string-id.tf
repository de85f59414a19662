import {
  to = dr_retention_policy.tiered
  id = "tiered"
}
