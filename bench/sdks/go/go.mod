module example.com/read

go 1.21

require grantex.dev/go v0.1.0

replace grantex.dev/go => ../../../sdk/go
