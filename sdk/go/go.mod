module grantex.dev/go

go 1.21
